//! Trillium on smol. It listens for the signals and shuts down gracefully by itself; it has no deadline.

use std::net::SocketAddr;

use futures_lite::future;
use trillium::Conn;
use trillium_smol::async_io::Timer;

fn main() {
    let options = options::parse();
    let servers = options.listen.into_iter().map(|(name, address)| {
        let hello = move |conn: Conn| {
            let hello = format!("Hello from {name}");
            async move {
                if !options.delay.is_zero() {
                    Timer::after(options.delay).await;
                }
                conn.ok(hello)
            }
        };
        let address: SocketAddr = address.parse().expect("an address");
        trillium_smol::config()
            .with_host(&address.ip().to_string())
            .with_port(address.port())
            .with_nodelay()
            .with_max_connections(None)
            .spawn(hello)
    });
    future::block_on(async {
        for server in servers.collect::<Vec<_>>() {
            server.await;
        }
    });
    eprintln!("a graceful bye");
}
