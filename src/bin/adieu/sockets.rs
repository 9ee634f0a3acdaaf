//! Where the binary's listeners come from: handed over to it, or bound here.

use std::io;

use adieu::{Error, Listener, SocketListener};

pub struct Sockets {
    handed_over: Vec<(String, SocketListener)>,
    share: bool,
    bound: Vec<Bound>,
}

/// A server whose socket was bound here, and where.
struct Bound {
    name: String,
    address: String,
    port: Option<u16>,
}

impl Sockets {
    /// Takes over what systemd hands over, each by the name of its server. What is bound here is
    /// shared with a successor, if `share` is set.
    pub fn new(servers: &[&str], share: bool) -> Result<Sockets, Error> {
        let handed_over = adieu::systemd::sockets()?;
        for (at, (name, _)) in handed_over.iter().enumerate() {
            let why = if !servers.contains(&name.as_str()) {
                format!("there is no server of this name, only {}", servers.join(", "))
            } else if handed_over[..at].iter().any(|(earlier, _)| earlier == name) {
                "there are two sockets of this name".to_owned()
            } else {
                continue;
            };
            return Err(Error::HandedOver { name: name.clone(), source: io::Error::other(why) });
        }
        Ok(Sockets { handed_over, share, bound: Vec::new() })
    }

    /// The socket that was handed over under this name, or else one that is bound here.
    pub fn listener(&mut self, name: &str, address: &str) -> Result<SocketListener, Error> {
        if let Some(at) = self.handed_over.iter().position(|(handed, _)| handed == name) {
            return Ok(self.handed_over.swap_remove(at).1);
        }
        let bind = if self.share { SocketListener::bind_shared } else { SocketListener::bind };
        let listener = bind(address).map_err(|error| self.explain(error).in_service(name))?;
        let (address, port) = (listener.address(), listener.port());
        // The system lets two sockets of ours share a port, and each would get half of the clients.
        if let Some(rival) = self.bound.iter().find(|rival| rival.address == address) {
            let source = io::Error::other(rival.to_string());
            return Err(Error::Bind { service: Some(name.to_owned()), address, source });
        }
        self.bound.push(Bound { name: name.to_owned(), address, port });
        Ok(listener)
    }

    /// An address may be in use by another server of this process.
    fn explain(&self, mut error: Error) -> Error {
        if let Error::Bind { address, source, .. } = &mut error {
            let port = address.rsplit(':').next().and_then(|port| port.parse().ok());
            let rival = self.bound.iter().find(|rival| match rival.port {
                Some(_) => rival.port == port,
                None => rival.address == *address,
            });
            if let (io::ErrorKind::AddrInUse, Some(rival)) = (source.kind(), rival) {
                *source = io::Error::new(source.kind(), format!("{source}; {rival}"));
            }
        }
        error
    }
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "server {:?} listens on {}", self.name, self.address)
    }
}
