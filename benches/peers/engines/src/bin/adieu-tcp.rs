use std::process::ExitCode;

use adieu::{Connection, SocketStream, Supervisor, Tcp};
use futures_lite::AsyncWriteExt;

async fn echo(stream: &mut SocketStream, connection: &Connection) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    while connection.read(stream, &mut bytes).await? > 0 {
        stream.write_all(&std::mem::take(&mut bytes)).await?;
    }
    Ok(())
}

fn main() -> ExitCode {
    adieu::exit(async {
        let server = Tcp::bind(&engines::address(), echo)?;
        Ok(Supervisor::new().service("echo", server).run(adieu::signals()?).await?)
    })
}
