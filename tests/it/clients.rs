//! Real clients that nobody here wrote. A test that needs one that is not installed says so and passes.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// Where the program is; `None`, with a word on how to get it, where it is not.
pub fn tool(name: &str, package: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join(name)).find(|path| path.is_file());
    if found.is_none() {
        eprintln!("skipped: {name} is missing: apt-get install {package}");
    }
    found
}

/// A Python that has these modules; `None`, with a word on how to get them, where there is none.
#[cfg_attr(not(feature = "grpc"), expect(dead_code))]
pub fn python(modules: &[&str], packages: &str) -> Option<PathBuf> {
    let python = tool("python3", "python3")?;
    let import = format!("import {}", modules.join(", "));
    let found = Command::new(&python).args(["-c", &import]).stderr(Stdio::null()).status();
    if !found.is_ok_and(|status| status.success()) {
        eprintln!("skipped: Python modules are missing: pip install {packages}");
        return None;
    }
    Some(python)
}

/// Runs a command to its end, on a thread of its own so that the executor goes on.
pub async fn output(mut command: Command) -> Output {
    command.stdin(Stdio::null());
    smol::unblock(move || command.output()).await.expect("the client can be started")
}

/// What a command has written, which must have gone well.
pub async fn stdout(command: Command) -> String {
    let told = format!("{command:?}");
    let output = output(command).await;
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}: {}: {errors}", output.status);
    String::from_utf8(output.stdout).expect("clients write text")
}
