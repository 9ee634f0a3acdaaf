//! How a process ends: [`exit`], and the codes it ends with.

use std::future::Future;
use std::io::{self, Write};
use std::process::ExitCode;

use crate::error::Error;
use crate::report::Report;

/// The exit status for each way to end. All of them can be set:
///
/// ```
/// use adieu::ExitCodes;
///
/// let codes = ExitCodes { cut_off: 0, ..ExitCodes::default() };
/// # let _ = codes;
/// ```
///
/// Give the same ones to [`exit_with`], and to [`Signals::exit_codes`](crate::Signals::exit_codes)
/// for the ends that come from within the signal handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExitCodes {
    /// All services ended well and nothing was cut off. Default: 0.
    pub graceful: u8,
    /// A service failed or panicked, or the run could not begin. Default: 1.
    pub failed: u8,
    /// An address makes no sense. Default: 2.
    pub usage: u8,
    /// The deadline cut something off, or found the thread blocked. Default: 124, as of timeout(1).
    pub cut_off: u8,
    /// A signal ended the wait. Default: `None`, which is 128 plus the signal's number.
    pub aborted: Option<u8>,
}

impl Default for ExitCodes {
    fn default() -> ExitCodes {
        ExitCodes { graceful: 0, failed: 1, usage: 2, cut_off: 124, aborted: None }
    }
}

impl ExitCodes {
    /// The status for what a run has come to.
    pub fn of_report(&self, report: &Report) -> u8 {
        match report.aborted {
            Some(signal) => self.of_abort(signal as i32),
            None if report.services.iter().any(|service| service.outcome.is_failure()) => {
                self.failed
            }
            None if !report.stragglers.is_empty() => self.cut_off,
            None => self.graceful,
        }
    }

    /// The status for a run that could not begin.
    pub fn of_error(&self, error: &Error) -> u8 {
        match error {
            Error::Address { .. } => self.usage,
            _ => self.failed,
        }
    }

    /// The status for a wait that this signal has ended.
    pub(crate) fn of_abort(&self, signal: i32) -> u8 {
        self.aborted.unwrap_or(128 + signal as u8)
    }
}

/// Runs `main` on this thread, and turns what it comes to into the exit code of the process.
///
/// An error is written to standard error, as one line. For the codes see [`ExitCodes`].
///
/// ```no_run
/// fn main() -> std::process::ExitCode {
///     adieu::exit(async { Ok(adieu::Supervisor::new().run(adieu::signals()?).await) })
/// }
/// ```
pub fn exit(main: impl Future<Output = Result<Report, Error>>) -> ExitCode {
    exit_with(ExitCodes::default(), main)
}

/// The same with other exit codes.
pub fn exit_with(codes: ExitCodes, main: impl Future<Output = Result<Report, Error>>) -> ExitCode {
    ExitCode::from(match smol::block_on(main) {
        Ok(report) => codes.of_report(&report),
        Err(error) => {
            // Nobody is left to be told if even this cannot be written.
            let _ = writeln!(io::stderr(), "error: {error}");
            codes.of_error(&error)
        }
    })
}
