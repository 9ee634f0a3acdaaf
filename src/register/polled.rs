//! What the thread of a run is busy with, in words that a signal handler can read.
//!
//! One thread writes, and the watchdog's signal handler reads, on that thread or another, between any two
//! instructions of the writer. So the text is in a buffer of its own, byte by byte in atomics, and its
//! version is odd while it changes: a reader that sees the version change has read nothing.
//!
//! A poll is short, and there are many. So a service is a number, and a text is written only once it is
//! known what the poll is about.

use std::array;
use std::fmt::{self, Display, Write};
use std::sync::OnceLock;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicUsize, fence};

use crate::words::shown;

/// How much of a text is kept, in bytes: the beginning of a request's line, or of a task's name.
const SIZE: usize = 200;

/// What is being polled; nothing at first.
pub(crate) struct Polled {
    /// The names of the services, by number. Set before the first of them is polled.
    services: OnceLock<Vec<String>>,
    /// Which of them it is: its number and one; 0 is none.
    service: AtomicUsize,
    version: AtomicU32,
    len: AtomicUsize,
    text: [AtomicU8; SIZE],
}

impl Default for Polled {
    fn default() -> Polled {
        Polled {
            services: OnceLock::new(),
            service: AtomicUsize::new(0),
            version: AtomicU32::new(0),
            len: AtomicUsize::new(0),
            text: array::from_fn(|_| AtomicU8::new(0)),
        }
    }
}

impl fmt::Debug for Polled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Polled").finish_non_exhaustive()
    }
}

impl Polled {
    /// Says which services there are. To be called once.
    pub(crate) fn set_services<'a>(&self, names: impl Iterator<Item = &'a str>) {
        let _ = self.services.set(names.map(str::to_owned).collect());
    }

    /// The number of a service, to be used with [`begin`](Polled::begin).
    pub(super) fn number(&self, name: &str) -> usize {
        let names = self.services.get().map_or(&[][..], Vec::as_slice);
        names.iter().position(|one| one == name).map_or(0, |at| at + 1)
    }

    /// From now on it is the service of this number. For the thread of the run, as the next two are.
    pub(super) fn begin(&self, service: usize) {
        self.service.store(service, Relaxed);
    }

    /// It is `what` of that service.
    pub(super) fn is(&self, what: &dyn Display) {
        // It is odd already if the last text panicked while it was written.
        let changing = self.version.load(Relaxed) | 1;
        self.version.store(changing, Relaxed);
        fence(Release);
        let mut writer = Writer { text: &self.text, len: 0 };
        // What does not fit is left out.
        let _ = write!(writer, "{what}");
        self.len.store(writer.len, Relaxed);
        self.version.store(changing.wrapping_add(1), Release);
    }

    /// It is nothing any more.
    pub(super) fn end(&self) {
        self.len.store(0, Relaxed);
        self.service.store(0, Relaxed);
    }

    /// What it is. `None`: nothing, or it is changing just now. A signal handler may call this: there is
    /// no lock, no allocation and no panic in it.
    pub(crate) fn get(&self) -> Option<Words<'_>> {
        let service = self.service.load(Relaxed);
        let version = self.version.load(Acquire);
        let len = self.len.load(Relaxed).min(SIZE);
        let text = array::from_fn(|at| self.text.get(at).map_or(0, |byte| byte.load(Relaxed)));
        fence(Acquire);
        let is_whole = version % 2 == 0 && version == self.version.load(Relaxed);
        let service = self.services.get()?.get(service.checked_sub(1)?)?;
        is_whole.then_some(Words { service, text, len })
    }
}

struct Writer<'a> {
    text: &'a [AtomicU8; SIZE],
    len: usize,
}

impl Write for Writer<'_> {
    fn write_str(&mut self, words: &str) -> fmt::Result {
        let room = self.text.get(self.len..).unwrap_or_default();
        room.iter().zip(words.bytes()).for_each(|(to, byte)| to.store(byte, Relaxed));
        self.len += words.len().min(room.len());
        if words.len() > room.len() { Err(fmt::Error) } else { Ok(()) }
    }
}

/// What was polled at one instant.
pub(crate) struct Words<'a> {
    service: &'a str,
    text: [u8; SIZE],
    len: usize,
}

impl Words<'_> {
    /// The characters that it is shown with. One that was cut is left out.
    pub(crate) fn chars(&self) -> impl Iterator<Item = char> + '_ {
        let text = self.text.get(..self.len).unwrap_or_default();
        let colon = if text.is_empty() { "" } else { ": " };
        let text = text.utf8_chunks().flat_map(|chunk| shown(chunk.valid()));
        shown(self.service).chain(colon.chars()).chain(text)
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    fn words(polled: &Polled) -> Option<String> {
        polled.get().map(|words| words.chars().collect())
    }

    #[test]
    fn it_is_a_service_then_a_request_of_it_and_then_nothing() {
        let polled = Polled::default();
        polled.set_services(["web", "näme\u{1b}"].into_iter());
        assert_eq!(words(&polled), None);
        polled.begin(polled.number("web"));
        assert_eq!(words(&polled).as_deref(), Some("web"));
        polled.is(&"GET /a\"b\n");
        assert_eq!(words(&polled).as_deref(), Some("web: GET /a\"b\\n"));
        polled.is(&"GET /");
        assert_eq!(words(&polled).as_deref(), Some("web: GET /"));
        polled.end();
        assert_eq!(words(&polled), None);
        polled.begin(polled.number("näme\u{1b}"));
        assert_eq!(words(&polled).as_deref(), Some("näme\\u{1b}"));
        assert_eq!(polled.number("unknown"), 0);
    }

    #[test]
    fn a_text_that_is_too_long_is_cut_between_characters() {
        let polled = Polled::default();
        polled.set_services(["web"].into_iter());
        polled.begin(1);
        polled.is(&format_args!("a{}", "ä".repeat(5_000)));
        let expected = format!("web: a{}", "ä".repeat(99));
        assert_eq!(words(&polled), Some(expected));
    }

    /// Looks at what is polled while it is written, and then panics if told to.
    struct Looks<'a>(&'a Polled, bool);

    impl Display for Looks<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("GET /")?;
            assert!(self.0.get().is_none());
            assert!(!self.1, "a text that panics");
            Ok(())
        }
    }

    #[test]
    fn what_is_changing_just_now_is_not_read_and_a_text_that_panics_spoils_no_other() {
        let polled = Polled::default();
        polled.set_services(["web"].into_iter());
        polled.begin(1);
        let panics = AssertUnwindSafe(|| polled.is(&Looks(&polled, true)));
        assert!(catch_unwind(panics).is_err());
        assert_eq!(words(&polled), None);
        polled.is(&Looks(&polled, false));
        assert_eq!(words(&polled).as_deref(), Some("web: GET /"));
    }
}
