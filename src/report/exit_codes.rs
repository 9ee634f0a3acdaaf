//! The exit status for each way to end, as plain numbers.

/// The exit status for each way to end. All of them can be set:
///
/// ```
/// use adieu::{ExitCodes, Supervisor};
///
/// let codes = ExitCodes { cut_off: 0, ..ExitCodes::default() };
/// let supervisor = Supervisor::new().exit_codes(codes);
/// # let _ = supervisor;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExitCodes {
    /// All services ended well and nothing was cut off. Default: 0.
    pub graceful: u8,
    /// A service failed or panicked. Default: 1.
    pub failed: u8,
    /// The deadline cut something off, or found the thread blocked. Default: 124, as of timeout(1).
    pub cut_off: u8,
    /// A signal ended the wait. Default: `None`, which is 128 plus the signal's number.
    pub aborted: Option<u8>,
}

impl Default for ExitCodes {
    fn default() -> ExitCodes {
        ExitCodes { graceful: 0, failed: 1, cut_off: 124, aborted: None }
    }
}

impl ExitCodes {
    /// The status for a wait that the signal of this number has ended.
    pub(crate) fn of_abort(&self, signal: i32) -> u8 {
        self.aborted.unwrap_or(128 + signal as u8)
    }
}
