use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::runtime::Builder;
use tokio::task::{LocalSet, spawn_local};

fn main() {
    let runtime = Builder::new_current_thread().enable_io().build().expect("a runtime");
    LocalSet::new().block_on(&runtime, async {
        let listener = tokio::net::TcpListener::bind(engines::address()).await.expect("the port is free");
        loop {
            let (stream, _) = listener.accept().await.expect("there are descriptors");
            stream.set_nodelay(true).expect("it is TCP");
            let serving = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service_fn(engines::hello));
            spawn_local(async { drop(serving.await) });
        }
    })
}
