//! A tiny chat: a line that one client types, all others read. It says goodbye when it shuts down.
//!
//! ```sh
//! cargo run --example chat            # then, in two other terminals: nc localhost 9001
//! ```

mod common;

use std::cell::RefCell;
use std::io;
use std::process::ExitCode;
use std::rc::Rc;

use adieu::{Connection, Listener, SocketStream, Supervisor, Tcp};
use futures_lite::{AsyncWriteExt, future};
use smol::channel::{Sender, bounded};

/// A line longer than this, in bytes, ends the connection.
const LONGEST: usize = 1024;

/// What a client may be behind, in lines, before it misses some.
const BEHIND: usize = 64;

fn main() -> ExitCode {
    let [address] = common::addresses([("--listen", "[::]:9001")]);
    adieu::exit(async {
        let signals = adieu::signals()?;
        // One thread: what the handlers share needs no lock.
        let room = Room::default();
        let chat = async move |stream: &mut SocketStream, connection: &Connection| {
            converse(&room, stream, connection).await
        };
        let server = Tcp::bind(&address, chat)?;
        log::info!("chat listening on {}", server.listener().address());
        Ok(Supervisor::new().service("chat", server).run(signals).await?)
    })
}

enum Event {
    Typed(usize),
    Heard(Rc<str>),
}

async fn converse(
    room: &Room,
    stream: &mut SocketStream,
    connection: &Connection,
) -> io::Result<()> {
    let name = connection.peer().to_string();
    let (ear, heard) = bounded(BEHIND);
    let _seat = room.enter(ear.clone());
    stream.write_all(format!("hello, {name}\n").as_bytes()).await?;
    let mut typed = Vec::new();
    loop {
        let typing = async { connection.read(stream, &mut typed).await.map(Event::Typed) };
        // The room holds the other end of the channel for as long as the seat is taken.
        let hearing = async { heard.recv().await.map(Event::Heard).map_err(io::Error::other) };
        match future::or(typing, hearing).await? {
            Event::Heard(line) => stream.write_all(line.as_bytes()).await?,
            Event::Typed(0) if connection.draining() => {
                return stream.write_all(b"the chat is closing, goodbye\n").await;
            }
            Event::Typed(0) => return Ok(()),
            Event::Typed(_) => {
                while let Some(end) = typed.iter().position(|&byte| byte == b'\n') {
                    let line: Vec<u8> = typed.drain(..=end).collect();
                    room.say(&ear, format!("{name}: {}", String::from_utf8_lossy(&line)).into());
                }
                if typed.len() > LONGEST {
                    return stream.write_all(b"that line is too long, goodbye\n").await;
                }
            }
        }
    }
}

/// Everybody who listens.
#[derive(Default)]
struct Room {
    ears: RefCell<Vec<Sender<Rc<str>>>>,
}

impl Room {
    fn enter(&self, ear: Sender<Rc<str>>) -> Seat<'_> {
        self.ears.borrow_mut().push(ear.clone());
        Seat { room: self, ear }
    }

    /// Tells everybody else. Whoever is too far behind misses the line.
    fn say(&self, speaker: &Sender<Rc<str>>, line: Rc<str>) {
        for ear in self.ears.borrow().iter().filter(|ear| !ear.same_channel(speaker)) {
            let _ = ear.try_send(line.clone());
        }
    }
}

/// A place in the room, given up on drop.
struct Seat<'a> {
    room: &'a Room,
    ear: Sender<Rc<str>>,
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.room.ears.borrow_mut().retain(|ear| !ear.same_channel(&self.ear));
    }
}
