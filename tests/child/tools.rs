//! Programs that a test needs and that may not be installed, or not be permitted. Such a test says
//! what it lacks and passes.
#![allow(dead_code)]

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::Command;

use super::bound;

/// Says that a test is skipped. `println` would not do: of a test that passes, what it prints is
/// not shown.
pub fn skipped(why: &str) {
    let _ = writeln!(io::stderr(), "skipped: {why}");
}

/// Where the program is; `None`, with a word on how to get it, where it is not.
pub fn tool(name: &str, package: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join(name)).find(|path| path.is_file());
    if found.is_none() {
        skipped(&format!("{name} is missing: apt-get install {package}"));
    }
    found
}

/// A Python that has these modules; `None`, with a word on how to get them, where there is none.
pub fn python(modules: &[&str], packages: &str) -> Option<PathBuf> {
    let python = tool("python3", "python3")?;
    let import = format!("import {}", modules.join(", "));
    let found = bound::output(Command::new(&python).args(["-c", &import]));
    if !found.is_ok_and(|output| output.status.success()) {
        skipped(&format!("Python modules are missing: pip install {packages}"));
        return None;
    }
    Some(python)
}

/// Whether the command succeeds here; if not, says what is skipped.
pub fn permitted(command: &mut Command, what: &str) -> bool {
    let well = bound::output(command).is_ok_and(|output| output.status.success());
    if !well {
        skipped(&format!("{what} is not there, or not permitted"));
    }
    well
}
