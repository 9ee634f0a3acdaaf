use engines::proto::{Echo, EchoServer};
use tokio::runtime::Builder;
use tonic::transport::Server;

fn main() {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let address = engines::address().parse().expect("an address");
        let serving = Server::builder().add_service(EchoServer::new(Echo)).serve(address);
        serving.await.expect("the port is free");
    })
}
