//! What can go wrong before a run begins. Each error names the service and the address it is about.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::words::Seconds;

/// An error of a service, of whatever type the service has.
pub type BoxError = Box<dyn std::error::Error>;

/// Why a run could not begin.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// An address makes no sense, or its host name cannot be resolved.
    Address {
        /// The service that was to use it, where it is known: see [`Error::in_service`].
        service: Option<String>,
        /// The address as it was given.
        address: String,
        /// What is wrong with it.
        source: io::Error,
    },
    /// A listener could not be bound.
    Bind {
        /// The service that was to use it, where it is known: see [`Error::in_service`].
        service: Option<String>,
        /// The address as it was given.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// A socket that was handed over cannot be used.
    HandedOver {
        /// The name it was handed over under; empty if they all cannot.
        name: String,
        /// What is wrong with it.
        source: io::Error,
    },
    /// The signal handlers could not be installed.
    Signals(io::Error),
    /// A service was added under an empty name.
    NoName,
    /// Two services were added under this name.
    SameName(String),
    /// The stages reserve more time than the grace period has.
    Reserve {
        /// What all of them reserve together.
        reserved: Duration,
        /// The grace period.
        grace: Duration,
    },
    /// What was named is no network whose peers can be [trusted](crate::TrustedPeers).
    Trusted {
        /// The network as it was given.
        network: String,
        /// What is wrong with it.
        why: String,
    },
    /// An admin server cannot have a handler at this path.
    Route {
        /// The path as it was given.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

impl Error {
    /// The same error, naming the service it kept from starting.
    pub fn in_service(mut self, name: &str) -> Error {
        if let Error::Address { service, .. } | Error::Bind { service, .. } = &mut self {
            *service = Some(name.to_owned());
        }
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Error::Address { service: Some(service), .. }
        | Error::Bind { service: Some(service), .. } = self
        {
            write!(f, "{service}: ")?;
        }
        match self {
            Error::Address { address, source, .. } => {
                let examples = "such as [::]:8080, 127.0.0.1:0 or unix:/run/app.sock";
                write!(f, "{address:?} is not an address to listen on, {examples}: {source}")
            }
            Error::Bind { address, source, .. } => {
                write!(f, "cannot listen on {address}: {source}")
            }
            Error::HandedOver { name, source } if name.is_empty() => {
                write!(f, "cannot use the sockets that were handed over (LISTEN_FDS): {source}")
            }
            Error::HandedOver { name, source } => {
                write!(f, "cannot use the socket {name:?} that was handed over: {source}")
            }
            Error::Signals(source) => write!(f, "cannot install the signal handlers: {source}"),
            Error::NoName => f.write_str("a service has no name"),
            Error::SameName(name) => write!(f, "there are two services named {name:?}"),
            Error::Reserve { reserved, grace } => {
                let (reserved, grace) = (Seconds(*reserved), Seconds(*grace));
                write!(f, "the stages reserve {reserved}, and the grace period is {grace}")
            }
            Error::Trusted { network, why } => {
                let examples = "such as 10.0.0.0/8, ::1 or unix";
                write!(f, "{network:?} is not a network to trust, {examples}: {why}")
            }
            Error::Route { path, why } => write!(f, "no handler can be at {path:?}: {why}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Address { source, .. }
            | Error::Bind { source, .. }
            | Error::HandedOver { source, .. }
            | Error::Signals(source) => Some(source),
            Error::NoName
            | Error::SameName(_)
            | Error::Reserve { .. }
            | Error::Trusted { .. }
            | Error::Route { .. } => None,
        }
    }
}
