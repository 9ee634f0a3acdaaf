use hyper::server::conn::http1;
use hyper::service::service_fn;
use smol::{Async, LocalExecutor};
use smol_hyper::rt::FuturesIo;

fn main() {
    let executor = LocalExecutor::new();
    smol::block_on(executor.run(async {
        let address: std::net::SocketAddr = engines::address().parse().expect("an address");
        let listener = Async::<std::net::TcpListener>::bind(address).expect("the port is free");
        loop {
            let (stream, _) = listener.accept().await.expect("there are descriptors");
            stream.get_ref().set_nodelay(true).expect("it is TCP");
            let serving = http1::Builder::new()
                .serve_connection(FuturesIo::new(stream), service_fn(engines::hello));
            executor.spawn(async { drop(serving.await) }).detach();
        }
    }))
}
