//! The limit of the runtime: smol on one thread, one read and one write per turn, no parsing. It only counts
//! the ends of heads, so that pipelined requests get as many answers.

use std::rc::Rc;

use smol::LocalExecutor;
use smol::io::{self, AsyncReadExt, AsyncWriteExt};
use smol::net::{TcpListener, TcpStream};

fn main() -> io::Result<()> {
    let executor = Rc::new(LocalExecutor::new());
    smol::block_on(executor.run(run(executor.clone())))
}

async fn run(executor: Rc<LocalExecutor<'static>>) -> io::Result<()> {
    for (name, address) in options::parse().listen {
        let listener = TcpListener::bind(address).await?;
        let connections = executor.clone();
        let body = format!("Hello from {name}");
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let answer: Rc<[u8]> = answer.into_bytes().into();
        let serve = async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                let _ = stream.set_nodelay(true);
                connections.spawn(echo(stream, answer.clone())).detach();
            }
        };
        executor.spawn(serve).detach();
    }
    std::future::pending().await
}

async fn echo(mut stream: TcpStream, answer: Rc<[u8]>) -> io::Result<()> {
    let mut received = [0; 4096];
    let mut answers = Vec::new();
    loop {
        let count = stream.read(&mut received).await?;
        if count == 0 {
            return Ok(());
        }
        let heads = received[..count].windows(4).filter(|bytes| bytes == b"\r\n\r\n").count();
        answers.clear();
        for _ in 0..heads {
            answers.extend_from_slice(&answer);
        }
        stream.write_all(&answers).await?;
    }
}
