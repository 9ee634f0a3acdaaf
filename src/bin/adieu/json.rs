//! One JSON object in one line (RFC 8259).

use std::fmt::{self, Write};

use log::kv::{Error, Key, Value, VisitSource, VisitValue};

/// An object that is being written. Of two members of one name the first stays.
pub struct Object {
    line: String,
    names: Vec<String>,
}

impl Object {
    pub fn new() -> Object {
        Object { line: String::new(), names: Vec::new() }
    }

    pub fn text(&mut self, name: &str, text: &str) {
        self.member(name, Text(text));
    }

    fn member(&mut self, name: &str, value: impl fmt::Display) {
        if !self.names.iter().any(|earlier| earlier == name) {
            self.names.push(name.to_owned());
            let before = if self.line.is_empty() { '{' } else { ',' };
            // Writing to a String cannot fail.
            let _ = write!(self.line, "{before}{}:{value}", Text(name));
        }
    }

    pub fn end(self) -> String {
        self.line + "}"
    }
}

impl<'v> VisitSource<'v> for Object {
    fn visit_pair(&mut self, key: Key<'v>, value: Value<'v>) -> Result<(), Error> {
        value.visit(Member(self, key.as_str()))
    }
}

/// A member whose value is to be written.
struct Member<'a>(&'a mut Object, &'a str);

impl Member<'_> {
    fn is(&mut self, value: impl fmt::Display) -> Result<(), Error> {
        self.0.member(self.1, value);
        Ok(())
    }
}

impl<'v> VisitValue<'v> for Member<'_> {
    fn visit_any(&mut self, value: Value<'_>) -> Result<(), Error> {
        self.visit_str(&value.to_string())
    }

    fn visit_null(&mut self) -> Result<(), Error> {
        self.is("null")
    }

    fn visit_u64(&mut self, value: u64) -> Result<(), Error> {
        self.is(value)
    }

    fn visit_i64(&mut self, value: i64) -> Result<(), Error> {
        self.is(value)
    }

    fn visit_f64(&mut self, value: f64) -> Result<(), Error> {
        match value.is_finite() {
            true => self.is(value),
            false => self.is(Text(&value.to_string())),
        }
    }

    fn visit_bool(&mut self, value: bool) -> Result<(), Error> {
        self.is(value)
    }

    fn visit_str(&mut self, value: &str) -> Result<(), Error> {
        self.is(Text(value))
    }
}

/// Text in quotation marks. A line of the log ends where a reader's line ends, so nothing that some
/// reader takes for an end of line stays as it is.
struct Text<'a>(&'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                '\n' => f.write_str("\\n")?,
                '\u{2028}' | '\u{2029}' => write!(f, "\\u{:04x}", u32::from(c))?,
                c if c.is_control() => write!(f, "\\u{:04x}", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}
