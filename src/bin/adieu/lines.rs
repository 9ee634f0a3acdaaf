//! The lines of the log, and when a time is written before them.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::time::SystemTime;

use env_logger::{Builder, Env};
use log::{Record, error};

use crate::json::Object;
use crate::time::Utc;

/// How a line is written.
#[derive(Clone, Copy, PartialEq)]
pub enum Format {
    Plain,
    /// With the time before it.
    Time,
    /// One JSON object (RFC 8259).
    Json,
}

impl Format {
    /// With the time, unless somebody watches the line come, or the journal notes when it came.
    pub fn where_lines_go() -> Format {
        match io::stderr().is_terminal() || goes_to_journal() {
            true => Format::Plain,
            false => Format::Time,
        }
    }
}

/// Whether standard error is what systemd has connected with the journal: `JOURNAL_STREAM` names that
/// by device and inode (systemd.exec(5)), and is inherited by processes whose standard error is another.
fn goes_to_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let stderr = io::stderr().as_fd().try_clone_to_owned();
    let metadata = stderr.and_then(|stderr| File::from(stderr).metadata());
    metadata.is_ok_and(|stderr| stream == format!("{}:{}", stderr.dev(), stderr.ino()))
}

/// Begins to log. `RUST_LOG` sets what.
pub fn begin(format: Format) {
    let mut logger = Builder::from_env(Env::default().default_filter_or("info"));
    logger.format(move |out, record| writeln!(out, "{}", line(format, record)));
    logger.init();
    if format == Format::Json {
        // Or what a panic says would stand between the objects.
        std::panic::set_hook(Box::new(|panic| {
            let payload = panic.payload();
            let text = payload.downcast_ref::<String>().map(String::as_str);
            let text = text.or(payload.downcast_ref::<&str>().copied()).unwrap_or("no message");
            let place = panic.location().map(ToString::to_string);
            error!(target: "adieu", place; "panicked: {text}");
        }));
    }
}

fn line(format: Format, record: &Record<'_>) -> String {
    let (level, target) = (record.level(), record.target());
    let now = Utc(SystemTime::now());
    let begin = match format {
        Format::Plain => format!("[{level:<5} {target}] "),
        Format::Time => format!("[{now} {level:<5} {target}] "),
        Format::Json => return object(record, &now),
    };
    // A message of more than one line is one entry, and looks like one.
    begin + &record.args().to_string().replace('\n', "\n    ")
}

fn object(record: &Record<'_>, now: &Utc) -> String {
    let mut object = Object::new();
    object.text("time", &now.to_string());
    object.text("level", record.level().as_str());
    object.text("target", record.target());
    object.text("message", &record.args().to_string());
    // The visitor does not fail, and neither do fields that are there already.
    let _ = record.key_values().visit(&mut object);
    object.end()
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use log::Level;

    use super::*;

    #[test]
    fn a_json_line_is_one_object_whatever_its_message_and_fields_hold() {
        let fields: &[(&str, log::kv::Value)] = &[
            ("service", "we\"b\\\n\u{1b}".into()),
            ("sent", u64::MAX.into()),
            ("below", i64::MIN.into()),
            ("took_ms", 1.5.into()),
            ("endless", f64::INFINITY.into()),
            ("ready", true.into()),
            ("left", log::kv::Value::null()),
            ("service", "another".into()),
            ("level", "mine".into()),
            ("a\"key", log::kv::Value::from_display(&"\u{7f}ä\u{2028}")),
        ];
        let record = Record::builder()
            .level(Level::Warn)
            .target("adieu")
            .key_values(&fields)
            .args(format_args!("two\nlines\t\0"))
            .build();
        let line = object(&record, &Utc(UNIX_EPOCH));
        assert_eq!(line.lines().count(), 1, "{line}");
        let read: serde_json::Value = serde_json::from_str(&line).expect("it is JSON");
        let wanted = serde_json::json!({
            "time": "1970-01-01T00:00:00.000Z",
            "level": "WARN",
            "target": "adieu",
            "message": "two\nlines\t\0",
            "service": "we\"b\\\n\u{1b}",
            "sent": u64::MAX,
            "below": i64::MIN,
            "took_ms": 1.5,
            "endless": "inf",
            "ready": true,
            "left": null,
            "a\"key": "\u{7f}ä\u{2028}",
        });
        assert_eq!(read, wanted);
        for name in ["service", "level"] {
            assert_eq!(
                line.matches(&format!("\"{name}\":")).count(),
                1,
                "names are unique: {line}"
            );
        }
    }
}
