//! Raw TCP: what handlers do with a connection, and what its client is owed for it.

use std::io;
use std::mem::take;

use adieu::{Connection, Peer};
use futures_lite::{AsyncReadExt, AsyncWriteExt};

use crate::client_plan::{ClientPlan, Talk};
use crate::net::UnkindStream;
use crate::world::{Seen, World};

/// Handles one connection as its client's plan says.
pub async fn talk(
    world: &World,
    service: usize,
    stream: &mut UnkindStream,
    connection: &Connection,
) -> io::Result<()> {
    let _alive = world.alive.clone();
    let &Peer::Memory(peer) = connection.peer() else {
        unreachable!("the network is in memory");
    };
    let served = &world.served[service];
    let client = served.connected.borrow()[peer as usize - 1];
    let plan = world.plan.clients[client].talk;
    let mut bytes = Vec::new();
    if let Talk::Stubborn = plan {
        loop {
            bytes.resize(1000, 0);
            match stream.read(&mut bytes).await? {
                0 => return Ok(()),
                amount => stream.write_all(&bytes[..amount]).await?,
            }
        }
    }
    while connection.read(stream, &mut bytes).await? > 0 {
        match plan {
            Talk::Fail => return Err(io::Error::other("simulated")),
            Talk::Panic => {
                served.panics.set(served.panics.get() + 1);
                panic!("simulated panic");
            }
            Talk::Stubborn => {}
            Talk::Echo(takes) => {
                connection.context().sleep(takes).await;
                stream.write_all(&take(&mut bytes)).await?;
            }
        }
    }
    Ok(())
}

/// Whether nothing came back that was not sent.
pub fn judge_echo(seen: &Seen) -> Result<(), String> {
    match seen.raw_sent.starts_with(&seen.raw_received) {
        true => Ok(()),
        false => Err("the echo is not what was sent".to_owned()),
    }
}

/// Why the connection ended: was the client owed more?
pub fn judge_end(plan: &ClientPlan, seen: &Seen, ended_draining: bool) -> Result<(), String> {
    let (sent, received) = (seen.raw_sent.len(), seen.raw_received.len());
    let all_is_said = seen.half_closed && received == sent;
    match plan.talk {
        Talk::Fail | Talk::Panic if sent > 0 => Ok(()),
        Talk::Stubborn if all_is_said => Ok(()),
        Talk::Stubborn => Err("a stubborn handler has come to an end".to_owned()),
        _ if received < seen.raw_arrived => {
            Err(format!("{} bytes had arrived, and {received} were echoed", seen.raw_arrived))
        }
        _ if ended_draining || all_is_said => Ok(()),
        _ => Err("closed for no reason".to_owned()),
    }
}
