//! Async-h1 wired up in the obvious way: `async_h1::accept` in a task per connection. `accept` cannot be asked
//! to stop, so the obvious shutdown is to leave.

use std::rc::Rc;

use async_h1::accept;
use async_signal::{Signal, Signals};
use http_types::{Response, StatusCode};
use smol::net::TcpListener;
use smol::prelude::*;
use smol::{LocalExecutor, Timer};

fn main() -> std::io::Result<()> {
    let executor = Rc::new(LocalExecutor::new());
    smol::block_on(executor.run(run(executor.clone())))
}

async fn run(executor: Rc<LocalExecutor<'static>>) -> std::io::Result<()> {
    let options = options::parse();
    let mut signals = Signals::new([Signal::Int, Signal::Term])?;
    for (name, address) in options.listen {
        let listener = TcpListener::bind(address).await?;
        let connections = executor.clone();
        let serve = async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                if options.nodelay {
                    let _ = stream.set_nodelay(true);
                }
                let name = name.clone();
                let hello = move |_| {
                    let hello = format!("Hello from {name}");
                    async move {
                        if !options.delay.is_zero() {
                            Timer::after(options.delay).await;
                        }
                        let mut answer = Response::new(StatusCode::Ok);
                        answer.set_body(hello);
                        Ok(answer)
                    }
                };
                let connection = async move {
                    let _ = accept(stream, hello).await;
                };
                connections.spawn(connection).detach();
            }
        };
        executor.spawn(serve).detach();
    }
    signals.next().await;
    eprintln!("a bye");
    Ok(())
}
