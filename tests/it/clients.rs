//! Real clients that nobody here wrote, asked while an executor goes on with the server.

use std::process::{Command, Output};
use std::thread;

use crate::bound;
pub use crate::tools::tool;

/// Does what blocks on a thread of its own, so that the executor goes on. Of a pool's thread the words of a
/// panic would be lost: they go to the test that has started the pool.
pub async fn on_a_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = async_channel::bounded(1);
    thread::spawn(move || done.try_send(work()).is_ok());
    result.recv().await.expect("no panic over there")
}

/// Runs a command to its end.
pub async fn output(mut command: Command) -> Output {
    on_a_thread(move || bound::output(&mut command)).await.expect("the client can be started")
}

/// What a command has written, which must have gone well.
pub async fn stdout(command: Command) -> String {
    let told = format!("{command:?}");
    let output = output(command).await;
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}: {}: {errors}", output.status);
    String::from_utf8(output.stdout).expect("clients write text")
}
