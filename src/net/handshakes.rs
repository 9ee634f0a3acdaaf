//! Keeping new handshakes away from a TCP listener that is about to close, and waiting for those that
//! are under way. Linux can do this; elsewhere nothing is done.

#[cfg(target_os = "linux")]
pub(super) use linux::{HalfOpen, refuse_newcomers};
#[cfg(not(target_os = "linux"))]
pub(super) use nowhere::{HalfOpen, refuse_newcomers};

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::HashSet;
    use std::io;
    use std::net::TcpListener;

    use log::warn;

    use super::super::table::{self, Row};
    use crate::base::sys::{self, Filter};
    use crate::words::LOG;

    /// Drops what asks for a new connection: SYN without ACK, two bits of the fourteenth byte of the
    /// TCP header, at which the filter of a TCP socket begins to see the packet.
    const NO_NEW_ONES: [Filter; 5] = [
        Filter { code: LOAD_BYTE, jt: 0, jf: 0, k: 13 },
        Filter { code: AND, jt: 0, jf: 0, k: SYN | ACK },
        Filter { code: JUMP_IF_EQUAL, jt: 0, jf: 1, k: SYN },
        Filter { code: RETURN, jt: 0, jf: 0, k: 0 },
        Filter { code: RETURN, jt: 0, jf: 0, k: u32::MAX },
    ];

    const SYN: u32 = 0x02;
    const ACK: u32 = 0x10;
    const LOAD_BYTE: u16 = (libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16;
    const AND: u16 = (libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16;
    const JUMP_IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

    /// Has the system drop the first packet of each new handshake. Tells whether it could be done.
    pub(in crate::net) fn refuse_newcomers(listener: &TcpListener) -> bool {
        let attached = sys::attach_filter(listener, &NO_NEW_ONES);
        if let Err(error) = &attached {
            warn!(target: LOG, error:%; "cannot keep new handshakes away, some may be lost: {error}");
        }
        attached.is_ok()
    }

    /// The handshakes of a port that had begun at some moment, and may still be under way.
    #[derive(Debug, Default)]
    pub(in crate::net) enum HalfOpen {
        /// The system does not tell.
        #[default]
        Unknown,
        /// Local and remote address of each.
        Known(HashSet<String>),
    }

    impl HalfOpen {
        /// Those that are between SYN and the last ACK with this port, here or at the successor.
        pub(in crate::net) fn now(port: u16) -> HalfOpen {
            match under_way(port) {
                Ok(handshakes) => HalfOpen::Known(handshakes),
                Err(error) => {
                    let wait = "so handshakes on a shared port get all of their time";
                    warn!(target: LOG, error:%; "cannot read /proc/self/net/tcp, {wait}: {error}");
                    HalfOpen::Unknown
                }
            }
        }

        /// Whether any of them may still be under way. Those that begin later are the successor's.
        pub(in crate::net) fn any_left(&mut self, port: u16) -> bool {
            let HalfOpen::Known(handshakes) = self else {
                return true;
            };
            if !handshakes.is_empty() {
                match under_way(port) {
                    Ok(now) => handshakes.retain(|handshake| now.contains(handshake)),
                    Err(_) => return true,
                }
            }
            !handshakes.is_empty()
        }
    }

    fn under_way(port: u16) -> io::Result<HashSet<String>> {
        Ok(handshakes(&table::read()?, port).into_iter().collect())
    }

    pub(super) fn handshakes(table: &str, port: u16) -> Vec<String> {
        const SYN_RECEIVED: &str = "03";
        let port = format!(":{port:04X}");
        let is_one = |row: &Row| row.local.ends_with(&port) && row.state == SYN_RECEIVED;
        let handshakes = table::rows(table).filter(is_one);
        handshakes.map(|row| format!("{} {}", row.local, row.remote)).collect()
    }
}

#[cfg(not(target_os = "linux"))]
mod nowhere {
    use std::net::TcpListener;

    pub(in crate::net) fn refuse_newcomers(_listener: &TcpListener) -> bool {
        false
    }

    #[derive(Debug, Default)]
    pub(in crate::net) struct HalfOpen;

    impl HalfOpen {
        pub(in crate::net) fn now(_port: u16) -> HalfOpen {
            HalfOpen
        }

        pub(in crate::net) fn any_left(&mut self, _port: u16) -> bool {
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::linux::handshakes;

    #[test]
    fn a_handshake_is_a_socket_of_this_port_in_that_state() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue\n   \
                0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 7\n   \
                1: 0100007F:1F90 0100007F:C350 03 00000000:00000000 00:00000000 00000000 0 0 7\n   \
                2: 0100007F:1F91 0100007F:C351 01 00000000:00000000 00:00000000 00000000 0 0 7\n";
        assert_eq!(handshakes(table, 0x1f90), ["0100007F:1F90 0100007F:C350"]);
        assert!(handshakes(table, 0x1f91).is_empty());
        assert!(handshakes(table, 0xf90).is_empty());
    }
}
