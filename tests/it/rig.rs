//! What most tests begin with, besides the testing kit's [`Rig`].

pub use adieu::testing::Rig;
use adieu::testing::{MemoryStream, Network};
use adieu::{Listener, Protocol, Report, Supervisor};
use futures_lite::{future, stream};

use crate::bound;

/// Every client's first request.
pub const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n";

/// A supervisor of one service, which speaks `protocol`, and the network in which its clients find it.
pub fn serve(name: &str, protocol: impl Protocol<MemoryStream>) -> (Rig, Network) {
    let rig = Rig::serve(name, protocol);
    let network = rig.network.clone();
    (rig, network)
}

/// A client that is accepted.
pub fn connect(rig: &Rig, network: &Network) -> MemoryStream {
    let client = network.connect().expect("it listens");
    rig.settle();
    client
}

/// A client that is accepted, and then sends this.
pub fn ask(rig: &Rig, network: &Network, request: &[u8]) -> MemoryStream {
    let client = connect(rig, network);
    client.send(request);
    rig.settle();
    client
}

/// What a client has received since the last look.
pub fn text(client: &MemoryStream) -> String {
    client.text()
}

/// Runs a supervisor on real sockets while `client` does its part.
pub fn run_with<T>(supervisor: Supervisor, client: impl Future<Output = T>) -> (T, Report) {
    let (seen, report) = bound::block_on(future::zip(client, supervisor.run(stream::pending())));
    (seen, report.expect("a run that could begin"))
}

/// Whether a connection waits in the listener's accept queue; it is taken out.
pub fn accepts(listener: &mut impl Listener) -> bool {
    let accepted = std::future::poll_fn(|cx| listener.poll_accept(cx));
    future::block_on(future::poll_once(accepted)).is_some_and(|accepted| accepted.is_ok())
}
