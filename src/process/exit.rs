//! How a process ends: what its run has come to, as an exit code.

use std::future::Future;
use std::io::{self, Write};
use std::process::ExitCode;

use crate::error::{BoxError, Error};
use crate::report::Report;

/// The run could not begin.
const FAILED: u8 = 1;
/// An address makes no sense.
const USAGE: u8 = 2;

/// Runs `main` on this thread, and turns what it comes to into the exit code of the process.
///
/// That is [`Report::exit_status`]. An error, of adieu's or of your own, is written to standard error
/// as one line, with all its sources; the exit code is then 2, bad usage, for [`Error::Address`], else 1.
///
/// ```no_run
/// fn main() -> std::process::ExitCode {
///     adieu::exit(async {
///         let words = std::fs::read_to_string("words.txt")?;
///         let supervisor = adieu::Supervisor::new();
/// #       let _ = words;
///         Ok(supervisor.run(adieu::signals()?).await?)
///     })
/// }
/// ```
pub fn exit(main: impl Future<Output = Result<Report, BoxError>>) -> ExitCode {
    ExitCode::from(match smol::block_on(main) {
        Ok(report) => report.exit_status(),
        Err(error) => {
            // Nobody is left to be told if even this cannot be written.
            let _ = writeln!(io::stderr(), "error: {}", with_sources(&error));
            match error.downcast_ref() {
                Some(Error::Address { .. }) => USAGE,
                _ => FAILED,
            }
        }
    })
}

/// The error and its sources. A source that the error has told itself is not told again.
fn with_sources(error: &BoxError) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let words = error.to_string();
        if !line.ends_with(&words) {
            line += &format!(": {words}");
        }
        source = error.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;

    #[derive(Debug)]
    struct Opening(io::Error);

    impl fmt::Display for Opening {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("cannot open the database")
        }
    }

    impl std::error::Error for Opening {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn an_error_is_told_with_its_sources_and_each_of_them_once() {
        let error: BoxError = Box::new(Opening(io::Error::other("no such table")));
        assert_eq!(with_sources(&error), "cannot open the database: no such table");
        let error: BoxError = Box::new(Error::Signals(io::Error::other("not here")));
        assert_eq!(with_sources(&error), "cannot install the signal handlers: not here");
    }
}
