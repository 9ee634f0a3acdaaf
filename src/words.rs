//! Words that logs, reports and pages share: lengths of time, signals' names, panics' messages.

use std::any::Any;
use std::fmt;
use std::time::Duration;

use async_signal::Signal;

/// The target of all log lines but those of the access log, whatever file they come from: users
/// filter by it (`RUST_LOG=adieu=info`).
pub(crate) const LOG: &str = "adieu";

/// A duration to read: milliseconds below one second, else seconds with one decimal.
pub(crate) struct Seconds(pub(crate) Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            short if short < Duration::from_secs(1) => write!(f, "{} ms", short.as_millis()),
            long => write!(f, "{:.1} s", long.as_secs_f64()),
        }
    }
}

/// `, 8 s left`, to the tenth of a second, or nothing where there is no deadline.
pub(crate) struct Left(pub(crate) Option<Duration>);

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(left) = self.0 else { return Ok(()) };
        let tenths = (left.as_millis() + 50) / 100;
        match (tenths / 10, tenths % 10) {
            (seconds, 0) => write!(f, ", {seconds} s left"),
            (0, tenth) => write!(f, ", {tenth}00 ms left"),
            (seconds, tenth) => write!(f, ", {seconds}.{tenth} s left"),
        }
    }
}

/// A signal's name as people know it, such as `SIGTERM`.
pub(crate) struct SignalName(pub(crate) Signal);

impl fmt::Display for SignalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Signal::Int => f.write_str("SIGINT"),
            Signal::Term => f.write_str("SIGTERM"),
            Signal::Quit => f.write_str("SIGQUIT"),
            Signal::Hup => f.write_str("SIGHUP"),
            other => write!(f, "signal {}", other as i32),
        }
    }
}

/// What a panic said, where it said anything.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    if let Some(message) = panic.downcast_ref::<&str>() {
        (*message).to_owned()
    } else if let Some(message) = panic.downcast_ref::<String>() {
        message.clone()
    } else {
        "no message".to_owned()
    }
}

/// Text that others have chosen, made fit for one line of a terminal, a log or a picture.
///
/// Control characters could move a terminal's cursor or forge a line. Format characters (such as
/// U+202E) could turn the line around. U+FFFE and U+FFFF are not allowed in XML. All that does not print is
/// written as Rust would write it: `\n`, `\u{1b}`.
pub(crate) fn printable(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    line.extend(shown(text));
    line
}

/// The same, one character after the other.
pub(crate) fn shown(text: &str) -> impl Iterator<Item = char> + '_ {
    text.chars().flat_map(|c| {
        // These print well, without the backslash that Rust would write.
        let plain = matches!(c, '"' | '\'' | '\\');
        c.escape_debug().skip(usize::from(plain))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_confuse_a_terminal_or_a_picture_is_escaped() {
        assert_eq!(printable("GET /ein/weißes/Blatt?a=1"), "GET /ein/weißes/Blatt?a=1");
        assert_eq!(printable("a\u{9b}31m\n\u{85}b"), "a\\u{9b}31m\\n\\u{85}b");
        assert_eq!(printable("\u{202e}\u{feff}\u{ffff}"), "\\u{202e}\\u{feff}\\u{ffff}");
    }
}
