//! What the fuzzers check, in one place: `fuzz/` runs it on endless input, `fuzz_quick.rs` on a
//! little of it in every `cargo test`.
//!
//! Each function takes arbitrary bytes and panics where a promise does not hold.

use std::time::Duration;

use adieu::http::http_types::{Body, Method, Request, Response, Result};
use adieu::http::parts::{Framing, Unframer, parse};
use adieu::http::{Exchange, Http, Limits};
use adieu::proxy_parts::{self, Header};
use adieu::testing::{MemoryStream, memory, settle};
use adieu::{Connection, Peer, ProxyProtocol, Server, Tcp};
use futures_lite::AsyncWriteExt;

use crate::choices::Choices;
use crate::reader::{Answer, answers};
use crate::rig::{self, Rig};

/// Heads: what is let in is let in however it is cut, is not longer than its bytes, and is one head.
pub fn head(data: &[u8]) {
    let limits = Limits::default();
    let whole = parse(data, &limits);
    let Ok(Some(head)) = &whole else {
        return;
    };
    assert!(head.len <= data.len() && head.len <= Limits::MAX_HEAD);
    assert!(data[..head.len].ends_with(b"\r\n\r\n"));
    assert!(head.request().is_ascii() && !head.request().contains(['\r', '\n']));
    for end in 0..head.len {
        let part = parse(&data[..end], &limits);
        assert!(matches!(part, Ok(None)), "a part of it is {part:?}");
    }
    let alone = parse(&data[..head.len], &limits).expect("as before").expect("as before");
    assert_eq!((alone.len, alone.request()), (head.len, head.request()));
}

/// Targets and hosts, with a zero byte between them: a handler sees both as they were sent, or the request
/// is refused.
pub fn destination(data: &[u8]) {
    let (target, host) = data.split_at(data.iter().position(|&byte| byte == 0).unwrap_or(0));
    let host = host.get(1..).unwrap_or_default();
    let is_line = |text: &[u8]| !text.iter().any(|byte| b"\r\n".contains(byte));
    if !is_line(target) || !is_line(host) {
        return; // another request altogether
    }
    let (rig, network) = rig::serve("web", Http::new(tell_destination));
    let request = [b"GET ", target, b" HTTP/1.1\r\nHost: ", host, b"\r\n\r\n"].concat();
    let client = rig::ask(&rig, &network, &request);
    let seen = answers(&client.received(), |_| false).expect("well-formed answers");
    let [answer] = &seen[..] else { panic!("not one answer: {seen:?}") };
    if answer.status == 200 {
        let sent = [target, b"\n", trim(host)].concat();
        assert_eq!(answer.text().as_bytes(), sent, "{:?}", data.escape_ascii().to_string());
    } else {
        assert!(matches!(answer.status, 400 | 414 | 431), "{answer:?}");
    }
}

/// Without the white space around it.
fn trim(value: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| b" \t".contains(byte);
    let start = value.iter().position(|byte| !is_space(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !is_space(byte)).map_or(start, |last| last + 1);
    &value[start..end]
}

/// Target and Host of a request, once it is clear that its URL says nothing else.
async fn tell_destination(request: Request, exchange: Exchange) -> Result<Response> {
    let (target, url) = (exchange.target(), request.url());
    let host = request.header("host").map(|host| host.as_str()).unwrap_or_default();
    let name = host.rsplit_once(':').filter(|(_, port)| !port.contains(']')).map(|(name, _)| name);
    let name = name.unwrap_or(host);
    assert!(url.host_str().is_some_and(|host| host.eq_ignore_ascii_case(name)), "{host} {url}");
    // An absolute target comes to the same path; and what the documentation says of URLs.
    let path = target.strip_prefix('/').map(|_| target.replace('\'', "%27"));
    let seen = &url.as_str()[url.origin().ascii_serialization().len()..].replace('\'', "%27");
    let has_dots = |path: &str| {
        let path = path.split('?').next().unwrap_or_default().to_lowercase().replace("%2e", ".");
        path.split('/').any(|segment| segment == "." || segment == "..")
    };
    assert!(path.is_none_or(|path| has_dots(&path) || path == *seen), "{target} {url}");
    Ok(format!("{target}\n{host}").into())
}

/// Bodies: in one piece or in many the same content comes out and the same end is found, and
/// never more content than bytes, or than was allowed.
pub fn framing(data: &[u8]) {
    let [first, body @ ..] = data else { return };
    let framing = match first {
        0 => Framing::Chunked,
        length => Framing::Length(u64::from(*length)),
    };
    let max = 1000;
    let feed = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let mut unframer = Unframer::new(framing, max).ok()?;
        let (mut content, mut taken) = (Vec::new(), 0);
        for piece in pieces {
            let amount = unframer.feed(piece, &mut content).ok()?;
            assert!(amount == piece.len() || unframer.is_done());
            taken += amount;
        }
        assert!(content.len() <= taken && content.len() as u64 <= max);
        Some((content, taken, unframer.is_done()))
    };
    let whole = feed(&mut std::iter::once(body));
    assert_eq!(whole, feed(&mut body.chunks(1)));
    assert_eq!(whole, feed(&mut body.chunks(usize::from(*first) + 1)));
}

/// PROXY headers: what is read of one in as few pieces as can be is the header and nothing behind it; in
/// whatever pieces it comes, the same client is named, and the protocol behind it reads the same bytes.
pub fn proxy(data: &[u8]) {
    let mut read = 0;
    let whole = loop {
        match proxy_parts::parse(&data[..read]) {
            Ok(Header::Missing(more)) => {
                assert!(more > 0 && read + more <= proxy_parts::MAX);
                read += more;
                if read > data.len() {
                    break None;
                }
            }
            Ok(Header::Whole(client)) => break Some((client, read)),
            Err(why) => {
                assert!(!why.is_empty());
                break None;
            }
        }
    };
    let told = whole.map(|(client, length)| {
        let client = client.map_or_else(|| "client 1".to_owned(), |it| Peer::Tcp(it).to_string());
        [client.as_bytes(), b" ", &data[length..]].concat()
    });
    for pieces in [data.len().max(1), 1, 7] {
        let protocol = ProxyProtocol::new("unix".parse().expect("a word"), Tcp::new(tell));
        let (rig, network) = rig::serve("web", protocol);
        let client = rig::connect(&rig, &network);
        for piece in data.chunks(pieces) {
            if !client.is_gone() {
                client.send(piece);
                settle(&rig.executor);
            }
        }
        let seen = client.received();
        assert_eq!(seen, told.clone().unwrap_or_default(), "{}", data.escape_ascii());
    }
}

/// Says whose the connection is, and echoes what it reads.
async fn tell(stream: &mut MemoryStream, connection: &Connection) -> std::io::Result<()> {
    let mut bytes = format!("{} ", connection.peer()).into_bytes();
    loop {
        stream.write_all(&std::mem::take(&mut bytes)).await?;
        if connection.read(stream, &mut bytes).await? == 0 {
            return Ok(());
        }
    }
}

/// A connection: arbitrary bytes, or well-formed requests, in arbitrary pieces, with a shutdown at
/// an arbitrary moment. Every answer is well-formed and to its own request, and the run is over by
/// the deadline.
pub fn connection(data: &[u8]) {
    let (listener, network) = memory();
    let limits = Limits { body_size: 10_000, ..Limits::default() };
    let server = Server::new(listener, Http::new(handler).limits(limits));
    let mut trigger = None;
    let rig = Rig::start(|supervisor| {
        trigger = Some(supervisor.trigger());
        supervisor.service("web", server)
    });
    let client = network.connect_with_capacity(4096).expect("the server listens");
    let mut wire =
        Client { client, received: Vec::new(), sent: Vec::new(), numbers: Vec::new(), wild: false };
    let mut choices = Choices(data);
    while !choices.0.is_empty() {
        match choices.byte() {
            choice @ 0..100 => wire.request(choice, &mut choices, &rig),
            100..160 => {
                let amount = usize::from(choices.byte());
                wire.wild = true;
                wire.send(choices.bytes(amount));
            }
            160..180 => rig.pass(Duration::from_millis(50) * u32::from(choices.byte())),
            180..200 => drop(rig.executor.try_tick()),
            200..203 => trigger.iter().for_each(adieu::Trigger::shut_down),
            203..230 => wire.receive(usize::from(choices.byte())),
            _ => settle(&rig.executor),
        }
    }
    trigger.iter().for_each(adieu::Trigger::shut_down);
    for _ in 0..11 {
        settle(&rig.executor);
        wire.receive(usize::MAX);
        rig.pass(Duration::from_secs(1));
    }
    let report = rig.report();
    assert_eq!(report.services[0].counts.panicked, 0);
    wire.receive(usize::MAX);
    wire.check();
}

/// Says in a header which request it answers, and in the body what the request's body was.
async fn handler(mut request: Request, exchange: Exchange) -> Result<Response> {
    let number = request.url().path().trim_start_matches('/').to_owned();
    let mut response = Response::new(200);
    if number.bytes().all(|byte| byte.is_ascii_digit()) {
        response.insert_header("number", number.as_str());
    }
    match request.url().query() {
        Some("echo") => response.set_body(Body::from_reader(request.take_body(), None)),
        Some("ignore") => {}
        Some("slow") => exchange.sleep(Duration::from_secs(1)).await,
        Some("late") => {
            exchange.sleep(Duration::from_millis(200)).await;
            response.set_body(request.body_bytes().await?);
        }
        _ if request.method() == Method::Head => response.set_body("not to be sent"),
        _ => response.set_body(request.body_bytes().await?),
    }
    Ok(response)
}

struct Client {
    client: MemoryStream,
    received: Vec<u8>,
    sent: Vec<u8>,
    /// The method of each well-formed request, by its number.
    numbers: Vec<(bool, String)>,
    /// Whether bytes were sent that are none of ours: then nothing is known of what they meant.
    wild: bool,
}

impl Client {
    fn send(&mut self, bytes: &[u8]) {
        if !self.client.is_gone() && !self.client.is_closed() {
            self.client.send(bytes);
            self.sent.extend_from_slice(bytes);
        }
    }

    fn receive(&mut self, most: usize) {
        self.received.extend(self.client.receive(most));
    }

    /// Sends a well-formed request of some kind, in two pieces.
    fn request(&mut self, choice: u8, choices: &mut Choices<'_>, rig: &Rig) {
        let number = self.numbers.len();
        let query = ["", "?echo", "?ignore", "?slow", "?late"][usize::from(choice) % 5];
        let body = format!("body {number} GET /hidden HTTP/1.1\r\nHost: hidden\r\n\r\n");
        let path = format!("/{number}{query} HTTP/1.1\r\nHost: test\r\n");
        let length = body.len();
        let head = choice / 5 % 5 == 1;
        let request = match choice / 5 % 5 {
            0 => format!("GET {path}\r\n"),
            1 => format!("HEAD {path}\r\n"),
            2 => format!("POST {path}Content-Length: {length}\r\n\r\n{body}"),
            3 => {
                format!("PUT {path}Expect: 100-continue\r\nContent-Length: {length}\r\n\r\n{body}")
            }
            _ => format!(
                "POST {path}Transfer-Encoding: chunked\r\n\r\n{length:x};a=b\r\n{body}\r\n0\r\nC: d\r\n\r\n"
            ),
        };
        let has_body = choice / 5 % 5 >= 2 && !matches!(query, "?ignore" | "?slow");
        self.numbers.push((head, if has_body { body } else { String::new() }));
        let (start, end) =
            request.as_bytes().split_at(usize::from(choices.byte()).min(request.len()));
        self.send(start);
        if choice % 2 == 0 {
            settle(&rig.executor);
        }
        self.send(end);
    }

    /// Whatever was sent, what has come back are well-formed answers; the answers to our own
    /// requests are in order, and hold nothing of another's.
    fn check(&self) {
        let is_head =
            |number: usize| !self.wild && self.numbers.get(number).is_some_and(|(head, _)| *head);
        if self.wild && self.sent.windows(5).any(|window| window == b"HEAD ") {
            return; // nobody can tell which answer is to which
        }
        let told = String::from_utf8_lossy(&self.received);
        let answers = answers(&self.received, is_head).unwrap_or_else(|error| {
            panic!("{error}: {told:?} to {:?}", self.sent.escape_ascii().to_string())
        });
        if !self.wild {
            let finals = answers.iter().filter(|answer| answer.status != 100);
            finals.enumerate().for_each(|(number, answer)| self.check_one(number, answer));
        }
    }

    fn check_one(&self, number: usize, answer: &Answer) {
        let (head, body) = &self.numbers[number];
        if answer.status == 200 && answer.complete {
            assert_eq!(answer.header("number"), Some(number.to_string().as_str()));
            let body = if *head { "" } else { body };
            assert_eq!(answer.text(), body);
        } else {
            // Cut off by the shutdown, in the midst of the request or of the answer.
            assert!(matches!(answer.status, 0 | 200 | 400 | 408), "{answer:?}");
        }
    }
}
