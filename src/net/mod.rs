//! Listeners and streams: what the accept loop needs of them, and the sockets of the system.
//!
//! An address is text: [`SocketListener::bind`] takes `[::]:8080` for TCP and `unix:/run/app.sock`
//! for a Unix socket, and every protocol's `bind` goes through it.

mod handshakes;
mod listener;
mod neighbours;
mod peer;
mod reset;
mod socket;
mod table;
mod tcp;
mod unix;

pub(crate) use listener::BACKLOG;
pub use listener::{Listener, Stream};
pub use peer::Peer;
pub use reset::ResetWatch;
pub use socket::{SocketListener, SocketStream};
pub use tcp::{TcpListener, TcpStream};
pub use unix::{UnixListener, UnixStream};
