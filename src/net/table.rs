//! The system's table of TCP sockets, as proc(5) shows it on Linux.

use std::io;
use std::net::{IpAddr, SocketAddr};

/// One socket: local and remote address and state, in hexadecimal.
pub(super) struct Row<'a> {
    pub(super) local: &'a str,
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    pub(super) remote: &'a str,
    pub(super) state: &'a str,
    /// The number by which a process holds it.
    pub(super) inode: &'a str,
}

/// The table of IPv4 and that of IPv6.
///
/// Of /proc/self, and not of /proc: that is there under systemd's `ProcSubset=pid` too.
pub(super) fn read() -> io::Result<String> {
    let mut table = std::fs::read_to_string("/proc/self/net/tcp")?;
    // Without IPv6 there is no such file.
    table.push_str(&std::fs::read_to_string("/proc/self/net/tcp6").unwrap_or_default());
    Ok(table)
}

pub(super) fn rows(table: &str) -> impl Iterator<Item = Row<'_>> {
    table.lines().filter_map(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (local, remote, state) = (fields.next()?, fields.next()?, fields.next()?);
        Some(Row { local, remote, state, inode: fields.nth(5)? })
    })
}

/// `0100007F:1F90` as 127.0.0.1:8080: each four bytes of the address are a number of this machine.
pub(super) fn address(hex: &str) -> Option<SocketAddr> {
    let (ip, port) = hex.split_once(':')?;
    let part = |at: usize| Some(u32::from_str_radix(ip.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    let ip = match ip.len() {
        8 => IpAddr::from(part(0)?),
        _ => {
            let parts = [part(0)?, part(8)?, part(16)?, part(24)?];
            IpAddr::from(<[u8; 16]>::try_from(parts.concat()).ok()?)
        }
    };
    Some((ip, u16::from_str_radix(port, 16).ok()?).into())
}
