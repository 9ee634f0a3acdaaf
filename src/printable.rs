//! Text from the network, made fit for terminals, logs and pictures.

use std::fmt::{self, Write};

/// Passes text on with every character escaped that does not simply print: controls (C0 and C1),
/// format characters such as those that turn the direction of writing, and what is no character
/// at all, such as U+FFFF. `\u{202e}` stands for U+202E. The escaped text has no such character left.
pub(crate) struct Printable<'a>(pub(crate) &'a mut String);

impl Write for Printable<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if text.bytes().all(prints) {
            self.0.push_str(text);
            return Ok(());
        }
        for char in text.chars() {
            match u8::try_from(char) {
                Ok(byte) if prints(byte) => self.0.push(char),
                // It keeps letters of all languages, and escapes by Unicode's general categories.
                _ => self.0.extend(char.escape_debug()),
            }
        }
        Ok(())
    }
}

fn prints(byte: u8) -> bool {
    byte.is_ascii_graphic() || byte == b' '
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_print_is_escaped_and_the_rest_is_kept() {
        let table = [
            ("GET /a?b=\"c\"\\d'e", "GET /a?b=\"c\"\\d'e"),
            ("GET /früh/東京", "GET /früh/東京"),
            ("\0\t\r\n\x1b[31m\x7f", "\\0\\t\\r\\n\\u{1b}[31m\\u{7f}"),
            ("\u{80}\u{85}\u{9b}31m\u{9f}", "\\u{80}\\u{85}\\u{9b}31m\\u{9f}"),
            (
                "\u{200b}\u{200e}\u{202e}\u{2066}\u{feff}",
                "\\u{200b}\\u{200e}\\u{202e}\\u{2066}\\u{feff}",
            ),
            ("\u{2028}\u{2029}\u{a0}\u{ad}", "\\u{2028}\\u{2029}\\u{a0}\\u{ad}"),
            ("\u{fffe}\u{ffff}\u{1ffff}\u{e000}", "\\u{fffe}\\u{ffff}\\u{1ffff}\\u{e000}"),
        ];
        for (raw, safe) in table {
            let mut text = String::new();
            Printable(&mut text).write_str(raw).expect("a String takes it");
            assert_eq!(text, safe);
        }
    }

    #[test]
    fn no_control_or_format_character_is_left_of_all_there_are() {
        let mut text = String::new();
        for char in (0..=char::MAX as u32).filter_map(char::from_u32) {
            write!(Printable(&mut text), "{char}").expect("a String takes it");
        }
        let format = |char: char| {
            matches!(char as u32, 0xad | 0x600..=0x605 | 0x61c | 0x6dd | 0x70f | 0x180e
                | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0xfeff | 0xfff9..=0xfffb
                | 0xe0001..=0xe007f)
        };
        let none =
            |char: char| char as u32 & 0xfffe == 0xfffe || matches!(char as u32, 0xfdd0..=0xfdef);
        let bad = |char: &char| char.is_control() || format(*char) || none(*char);
        assert_eq!(text.chars().find(bad), None);
    }
}
