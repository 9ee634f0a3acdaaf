//! A client: it sends what its plan says, when it says so, and notes what comes back.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use adieu::Stream;
use adieu::testing::MemoryStream;
use async_channel::{Receiver, Sender};
use futures_lite::{AsyncRead, future};

use crate::client_plan::{BodyPlan, ClientPlan, RequestPlan, Then};
use crate::content::content;
use crate::http2;
use crate::plan::ServicePlan;
use crate::reader::{self, Answer};
use crate::world::{Asked, World};

/// How long a client waits to be told to send the body.
const CONTINUE: Duration = Duration::from_millis(100);

/// How many bytes frame a chunk, behind one and before the next.
const FRAMING: usize = "\r\n12ab\r\n".len();

/// What is asked of the handler, and the seed of the bodies: client and request.
pub fn id(client: usize, request: usize) -> String {
    format!("{client}/{request}")
}

/// The length of the head, and all bytes.
fn encode(client: usize, number: usize, request: &RequestPlan) -> (usize, Vec<u8>) {
    let id = id(client, number);
    let method = if matches!(request.body, BodyPlan::None) { "GET" } else { "POST" };
    let version = if request.is_old { "1.0" } else { "1.1" };
    let mut bytes = format!("{method} /{id} HTTP/{version}\r\nHost: sim\r\n");
    bytes += &format!("X-Padding: {}\r\n", ".".repeat(request.padding));
    match request.body {
        BodyPlan::None => {}
        BodyPlan::Length(len) => bytes += &format!("Content-Length: {len}\r\n"),
        BodyPlan::Chunked(..) => bytes += "Transfer-Encoding: chunked\r\n",
    }
    if request.expects_continue {
        bytes += "Expect: 100-continue\r\n";
    }
    if request.asks_close && !request.is_old {
        bytes += "Connection: close\r\n";
    } else if matches!(request.handling.then, Then::Upgrade { .. }) {
        bytes += "Connection: upgrade\r\nUpgrade: echo\r\n";
    }
    bytes += "\r\n";
    let head = bytes.len();
    let mut bytes = bytes.into_bytes();
    match request.body {
        BodyPlan::None => {}
        BodyPlan::Length(len) => bytes.extend(content(&id, len)),
        BodyPlan::Chunked(len, size) => {
            for chunk in content(&id, len).chunks(size) {
                bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
                bytes.extend(chunk);
                bytes.extend(b"\r\n");
            }
            bytes.extend(b"0\r\n\r\n");
        }
    }
    (head, bytes)
}

/// Takes one whole answer from the front of `bytes`; `None` if it has not all arrived yet.
fn take(bytes: &mut Vec<u8>, ended: bool) -> Result<Option<Answer>, String> {
    let (answer, taken) = reader::one(bytes, false, ended)?;
    Ok(answer.complete.then(|| {
        bytes.drain(..taken);
        answer
    }))
}

struct Client {
    world: Rc<World>,
    number: usize,
    stream: RefCell<MemoryStream>,
    /// What has come and is not a whole answer yet.
    inbox: RefCell<Vec<u8>>,
    upgraded: Cell<bool>,
}

/// Whether it speaks raw TCP from the start.
pub fn is_raw(world: &World, number: usize) -> bool {
    let service = world.plan.clients[number].service;
    matches!(world.plan.services[service], ServicePlan::Tcp)
}

/// The whole life of one client.
pub async fn live(world: Rc<World>, number: usize) {
    let plan = &world.plan.clients[number];
    world.sleep(plan.arrives).await;
    let served = &world.served[plan.service];
    let Ok(stream) = served.network.connect_with_capacity(plan.capacity) else {
        world.tell(format_args!("client {number}: refused"));
        return;
    };
    served.connected.borrow_mut().push(number);
    let peer = served.connected.borrow().len();
    world.seen[number].borrow_mut().peer = Some(peer);
    world.tell(format_args!("client {number}: connects to {}, as its {peer}", plan.service));
    let patience = async {
        match plan.vanishes {
            Some(after) => world.sleep(after).await,
            None => std::future::pending().await,
        }
    };
    if let Some(http2) = &plan.http2 {
        future::or(http2::live(&world, number, http2, stream), patience).await;
        note_vanished(&world, number);
        return;
    }
    let client = Client {
        world: world.clone(),
        number,
        stream: RefCell::new(stream),
        inbox: RefCell::default(),
        upgraded: Cell::new(is_raw(&world, number)),
    };
    let (answered, answers) = async_channel::unbounded();
    let talk = async {
        future::zip(client.send(plan, answers), client.receive(plan, answered)).await;
    };
    future::or(talk, patience).await;
    client.leave();
}

impl Client {
    async fn send(&self, plan: &ClientPlan, answers: Receiver<()>) {
        for (number, request) in plan.requests.iter().enumerate() {
            self.world.seen[self.number].borrow_mut().requests.push(Asked::default());
            if plan.waits && number > 0 && answers.recv().await.is_err() {
                return;
            }
            if self.send_request(plan, number, request).await.is_none() {
                return self.half_close(plan);
            }
        }
        let last = plan.requests.last().map(|request| &request.handling.then);
        let upgrades = matches!(last, Some(Then::Upgrade { .. }));
        if upgrades && plan.waits && answers.recv().await.is_err() {
            return;
        }
        if upgrades || is_raw(&self.world, self.number) {
            for (rest, len) in &plan.raw {
                self.world.sleep(*rest).await;
                let bytes = content("raw", *len);
                if !self.put(plan, &bytes) {
                    return;
                }
                let seen = &mut self.world.seen[self.number].borrow_mut();
                seen.raw_sent.extend(bytes);
                if !self.world.draining(plan.service) {
                    seen.raw_arrived = seen.raw_sent.len();
                }
            }
        }
        self.half_close(plan);
    }

    fn half_close(&self, plan: &ClientPlan) {
        if plan.half_closes && !self.stream.borrow().is_gone() {
            self.world.tell(format_args!("client {}: half-closes", self.number));
            self.world.seen[self.number].borrow_mut().half_closed = true;
            // It is in memory, and cannot fail.
            let _ = self.stream.borrow().half_close();
        }
    }

    /// `None` if not all of it was sent.
    async fn send_request(
        &self,
        plan: &ClientPlan,
        number: usize,
        request: &RequestPlan,
    ) -> Option<()> {
        let (head, bytes) = encode(self.number, number, request);
        let ends = request.parts[1..].iter().map(|(_, end)| (end * bytes.len() as f64) as usize);
        let ends = ends.chain((!request.stops).then_some(bytes.len()));
        let mut parts: Vec<_> = request.parts.iter().map(|(rest, _)| *rest).zip(ends).collect();
        let body = parts.iter().position(|(_, end)| *end > head);
        if let Some(body) = body.filter(|_| request.expects_continue) {
            parts.insert(body, (parts[body].0, head));
            parts[body + 1].0 = CONTINUE;
        }
        // It may be no more than what frames a chunk, and that is no news to hyper's reader of a body.
        let is_chunked = matches!(request.body, BodyPlan::Chunked(..));
        let is_hypers = !self.world.plan.services[plan.service].is_on_async_h1();
        let is_framing = |bytes| is_chunked && is_hypers && bytes <= FRAMING;
        let mut sent = 0;
        for (rest, end) in parts {
            if !rest.is_zero() {
                self.world.sleep(rest).await;
            }
            if end <= sent {
                continue;
            }
            if !self.put(plan, &bytes[sent..end]) {
                return None;
            }
            let before = std::mem::replace(&mut sent, end);
            let stamp = self.world.stamp();
            let asked = &mut self.world.seen[self.number].borrow_mut().requests[number];
            let moved = asked.moved;
            asked.note_sent(stamp);
            if is_framing(end - before) {
                asked.moved = moved;
            }
            if sent >= head {
                asked.head.get_or_insert(stamp);
            }
            if sent == bytes.len() {
                asked.last = Some(stamp);
            }
        }
        (!request.stops).then_some(())
    }

    /// Sends, if there is anybody left to send to.
    fn put(&self, plan: &ClientPlan, bytes: &[u8]) -> bool {
        let stream = self.stream.borrow();
        if stream.is_gone() || stream.is_closed() && !plan.rude {
            return false;
        }
        self.world.tell(format_args!("client {}: sends {} bytes", self.number, bytes.len()));
        stream.send(bytes);
        true
    }

    async fn receive(&self, plan: &ClientPlan, answered: Sender<()>) {
        let (most, rest) = plan.reads;
        let mut buffer = vec![0; most];
        loop {
            let read =
                poll_fn(|cx| Pin::new(&mut *self.stream.borrow_mut()).poll_read(cx, &mut buffer));
            match read.await {
                Ok(0) => {
                    self.take_in(&[], true, &answered);
                    break;
                }
                Ok(amount) => self.take_in(&buffer[..amount], false, &answered),
                Err(_) => {
                    self.world.seen[self.number].borrow_mut().reset = true;
                    break;
                }
            }
            if !rest.is_zero() {
                self.world.sleep(rest).await;
            }
        }
        let stamp = self.world.tell(format_args!("client {}: sees the end", self.number));
        self.world.seen[self.number].borrow_mut().ended = Some(stamp);
    }

    /// `ended`: the server has closed, and not reset, the connection.
    fn take_in(&self, bytes: &[u8], ended: bool, answered: &Sender<()>) {
        let mut inbox = self.inbox.borrow_mut();
        inbox.extend(bytes);
        let mut seen = self.world.seen[self.number].borrow_mut();
        while !self.upgraded.get() {
            match take(&mut inbox, ended) {
                Ok(Some(answer)) if answer.status == 100 => {
                    seen.continues += 1;
                    let plans = &self.world.plan.clients[self.number].requests;
                    let asked = plans.iter().zip(&seen.requests);
                    let asked =
                        asked.filter(|(plan, one)| plan.expects_continue && one.head.is_some());
                    if seen.continues > asked.count() {
                        let line = format_args!("client {}: 100 for no reason", self.number);
                        self.world.violation(line);
                    }
                }
                Ok(Some(answer)) => {
                    let close = if answer.says_close() { ", close" } else { "" };
                    let (number, status) = (self.number, answer.status);
                    let line = format_args!("client {number}: is answered {status}{close}");
                    let stamp = self.world.tell(line);
                    self.upgraded.set(answer.status == 101);
                    seen.answers.push((answer, stamp));
                    // Unbounded; nobody may be listening any more.
                    let _ = answered.try_send(());
                }
                Ok(None) => break,
                Err(fault) => {
                    self.world.violation(format_args!("client {}: {fault}", self.number));
                    inbox.clear();
                    break;
                }
            }
        }
        if self.upgraded.get() {
            seen.raw_received.append(&mut inbox);
        }
    }

    /// Takes what is there still, and goes.
    fn leave(self) {
        let rest = self.stream.borrow().received();
        self.take_in(&rest, false, &async_channel::unbounded().0);
        let mut seen = self.world.seen[self.number].borrow_mut();
        let inbox = self.inbox.borrow();
        seen.partial = !inbox.is_empty();
        seen.perhaps_whole = reader::one(&inbox, false, true).is_ok_and(|(one, _)| one.complete);
        drop(seen);
        note_vanished(&self.world, self.number);
    }
}

/// A client has come to its end; if it has seen none of the connection, it has gone before.
fn note_vanished(world: &World, number: usize) {
    let seen = &mut world.seen[number].borrow_mut();
    if seen.ended.is_none() {
        seen.vanished = true;
        world.tell(format_args!("client {number}: vanishes"));
    }
}
