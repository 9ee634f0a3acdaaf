//! Who else listens where a shared listener was bound, by mistake perhaps. Linux tells it in `/proc`;
//! elsewhere nobody is found.

use std::fmt;
use std::fs;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::path::Path;

use super::table;
use crate::words::printable;

/// Others who take connections for the address of a listener.
pub(super) enum Neighbours {
    Nobody,
    ThisProcess,
    /// The processes, as far as this one may see them.
    Others(Vec<String>),
}

impl Neighbours {
    pub(super) fn of(listener: &TcpListener, address: SocketAddr) -> Neighbours {
        let (Ok(table), Ok(own)) =
            (table::read(), fs::read_link(format!("/proc/self/fd/{}", listener.as_raw_fd())))
        else {
            return Neighbours::Nobody;
        };
        let own = own.display().to_string();
        let mut sockets = listening(&table, address);
        sockets.retain(|socket| *socket != own);
        if sockets.is_empty() {
            return Neighbours::Nobody;
        }
        if holds(Path::new("/proc/self"), &sockets) {
            return Neighbours::ThisProcess;
        }
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let processes = processes.map(|entry| entry.path()).filter(|path| holds(path, &sockets));
        Neighbours::Others(processes.filter_map(|path| name(&path)).collect())
    }
}

impl fmt::Display for Neighbours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Neighbours::Nobody => f.write_str("nobody"),
            Neighbours::ThisProcess => f.write_str("this process"),
            Neighbours::Others(processes) if processes.is_empty() => {
                f.write_str("a process that cannot be seen from here")
            }
            Neighbours::Others(processes) => write!(f, "process {}", processes.join(", ")),
        }
    }
}

/// The sockets that listen on an address which overlaps with this one, as a process's links show them.
fn listening(table: &str, address: SocketAddr) -> Vec<String> {
    const LISTEN: &str = "0A";
    let rows = table::rows(table).filter(|row| row.state == LISTEN);
    let rows =
        rows.filter(|row| table::address(row.local).is_some_and(|other| overlap(address, other)));
    rows.map(|row| format!("socket:[{}]", row.inode)).collect()
}

/// Whether some client could mean either. `[::]` stands for IPv4 as well.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let (a, b) = (one.ip().to_canonical(), other.ip().to_canonical());
    let covers = |all: IpAddr, ip: IpAddr| all.is_unspecified() && (all.is_ipv6() || ip.is_ipv4());
    one.port() == other.port() && (a == b || covers(a, b) || covers(b, a))
}

/// Whether a process holds one of these sockets. Of another user's process nobody may tell.
fn holds(process: &Path, sockets: &[String]) -> bool {
    let links = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
    let mut links = links.filter_map(|entry| fs::read_link(entry.path()).ok());
    links.any(|link| sockets.iter().any(|socket| link.as_os_str() == socket.as_str()))
}

/// Such as `4242 (adieu)`. The arguments are left out: they may hold a password.
fn name(process: &Path) -> Option<String> {
    let pid = process.file_name()?.to_str()?;
    let command = fs::read_to_string(process.join("comm")).ok()?;
    // /proc/self and /proc/thread-self are links to numbers.
    let is_number = pid.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| format!("{pid} ({})", printable(command.trim_end())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_on_an_address_that_overlaps_is_found_in_the_table() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 11 1\n\
            1: 0200007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 12 1\n\
            2: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 13 1\n\
            3: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000 0 0 14 1\n\
            4: 0100007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 15 1\n\
            5: 00000000000000000000000000000000:1F90 00000000000000000000000000000000:0000 0A \
               00000000:00000000 00:00000000 00000000 0 0 16 1\n\
            6: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A \
               00000000:00000000 00:00000000 00000000 0 0 17 1\n\
            7: 0000000000000000FFFF00000100007F:1F90 00000000000000000000000000000000:0000 0A \
               00000000:00000000 00:00000000 00000000 0 0 18 1\n";
        let found = |address: &str| {
            let found = listening(table, address.parse().expect("an address"));
            found.iter().map(|socket| socket[8..10].parse().expect("a number")).collect::<Vec<u8>>()
        };
        if cfg!(target_endian = "big") {
            return; // the table is written as a little-endian machine shows it
        }
        assert_eq!(found("127.0.0.1:8080"), [11, 13, 16, 18]);
        assert_eq!(found("127.0.0.2:8080"), [12, 13, 16]);
        assert_eq!(found("127.0.0.1:8081"), [15]);
        assert_eq!(found("0.0.0.0:8080"), [11, 12, 13, 16, 18]);
        assert_eq!(found("[::1]:8080"), [16, 17]);
        assert_eq!(found("[::]:8080"), [11, 12, 13, 16, 17, 18]);
    }
}
