//! Sends back what it is sent, over TCP or a Unix socket. Try it:
//!
//! ```sh
//! cargo run --example echo                                    # then: nc localhost 9000
//! cargo run --example echo -- --listen unix:/tmp/echo.sock    # then: nc -U /tmp/echo.sock
//! ```

mod common;

use std::io;
use std::mem::take;
use std::process::ExitCode;

use adieu::{Connection, Listener, SocketStream, Supervisor, Tcp};
use futures_lite::AsyncWriteExt;

fn main() -> ExitCode {
    let [address] = common::addresses([("--listen", "[::]:9000")]);
    adieu::exit(async {
        let signals = adieu::signals()?;
        let server = Tcp::bind(&address, echo)?;
        log::info!("echo listening on {}", server.listener().address());
        Ok(Supervisor::new().service("echo", server).run(signals).await?)
    })
}

async fn echo(stream: &mut SocketStream, connection: &Connection) -> io::Result<()> {
    let mut bytes = Vec::new();
    // 0 is the end: the client has closed, or shutdown has begun and nothing is left to send back.
    while connection.read(stream, &mut bytes).await? > 0 {
        // The buffer goes with the bytes: a connection that waits holds none.
        stream.write_all(&take(&mut bytes)).await?;
    }
    Ok(())
}
