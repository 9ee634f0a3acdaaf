//! The flags that every server of the comparison understands, and their defaults.

use std::time::Duration;

pub struct Options {
    /// Names and addresses, from `--listen=NAME=ADDR`.
    pub listen: Vec<(String, String)>,
    /// How long every answer takes, from `--delay=MILLISECONDSms`.
    pub delay: Duration,
    /// `--nodelay`: only one peer has a use for it.
    pub nodelay: bool,
}

/// How long a shutdown may take, where the peer has a way to say it.
pub const GRACE: Duration = Duration::from_secs(10);

pub fn parse() -> Options {
    let mut options = Options { listen: Vec::new(), delay: Duration::ZERO, nodelay: false };
    for argument in std::env::args().skip(1) {
        match argument.split_once('=').unwrap_or((&argument, "")) {
            ("--listen", value) => {
                let (name, address) = value.split_once('=').expect("--listen=NAME=ADDR");
                options.listen.push((name.to_owned(), address.to_owned()));
            }
            ("--delay", value) => {
                let millis = value.strip_suffix("ms").and_then(|value| value.parse().ok());
                options.delay = Duration::from_millis(millis.expect("--delay=700ms"));
            }
            ("--nodelay", "") => options.nodelay = true,
            _ => panic!("unknown flag {argument}"),
        }
    }
    options
}
