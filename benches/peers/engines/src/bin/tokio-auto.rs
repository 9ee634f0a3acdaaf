use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::runtime::Builder;

fn main() {
    let runtime = Builder::new_current_thread().enable_io().build().expect("a runtime");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(engines::address()).await.expect("the port is free");
        loop {
            let (stream, _) = listener.accept().await.expect("there are descriptors");
            tokio::spawn(async {
                let serving = auto::Builder::new(TokioExecutor::new());
                drop(serving.serve_connection(TokioIo::new(stream), service_fn(engines::hello)).await)
            });
        }
    })
}
