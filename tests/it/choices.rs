//! What a fuzzer's bytes decide.

/// A stream of choices, made by the fuzzer's bytes; all zero when they have run out.
pub struct Choices<'a>(pub &'a [u8]);

impl<'a> Choices<'a> {
    pub fn byte(&mut self) -> u8 {
        let Some((&byte, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        byte
    }

    pub fn bytes(&mut self, amount: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(amount.min(self.0.len()));
        self.0 = rest;
        bytes
    }
}
