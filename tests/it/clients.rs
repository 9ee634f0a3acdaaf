//! Real clients that nobody here wrote, asked while an executor goes on with the server.

use std::process::{Command, Output};

use crate::bound;
pub use crate::tools::tool;

/// Runs a command to its end, on a thread of its own so that the executor goes on.
pub async fn output(mut command: Command) -> Output {
    smol::unblock(move || bound::output(&mut command)).await.expect("the client can be started")
}

/// What a command has written, which must have gone well.
pub async fn stdout(command: Command) -> String {
    let told = format!("{command:?}");
    let output = output(command).await;
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}: {}: {errors}", output.status);
    String::from_utf8(output.stdout).expect("clients write text")
}
