//! An HTTP server on the rig, and what its clients see.

use std::time::Duration;

use adieu::http::{Handler, Http, Limits};
use adieu::testing::{MemoryStream, Network, settle};

use crate::reader::{Answer, answers};
use crate::rig::{self, Rig};

/// A server under test.
pub struct Web {
    pub rig: Rig,
    pub network: Network,
}

impl Web {
    pub fn serve<Arguments>(handler: impl Handler<Arguments>) -> Web {
        Web::with(Http::new(handler))
    }

    pub fn limited<Arguments>(handler: impl Handler<Arguments>, limits: Limits) -> Web {
        Web::with(Http::new(handler).limits(limits))
    }

    fn with(http: Http) -> Web {
        let (rig, network) = rig::serve("web", http);
        Web { rig, network }
    }

    pub fn connect(&self) -> Client<'_> {
        self.connect_with_capacity(1 << 20)
    }

    /// Connects a client that does not read: so many bytes fit between.
    pub fn connect_with_capacity(&self, capacity: usize) -> Client<'_> {
        let stream = self.network.connect_with_capacity(capacity).expect("the server listens");
        self.settle();
        Client { web: self, stream }
    }

    /// What a new client sees that sends this.
    pub fn ask(&self, request: impl AsRef<[u8]>) -> Seen {
        self.connect().ask(request)
    }

    pub fn settle(&self) {
        settle(&self.rig.executor);
    }

    pub fn pass(&self, time: Duration) {
        self.rig.pass(time);
    }
}

/// What a client has seen: the answers, and whether the server closed.
#[derive(Debug)]
pub struct Seen {
    pub answers: Vec<Answer>,
    pub closed: bool,
    pub raw: String,
}

impl Seen {
    pub fn statuses(&self) -> Vec<u16> {
        self.answers.iter().map(|answer| answer.status).collect()
    }

    /// The one answer, which is complete.
    pub fn one(self) -> Answer {
        assert!(self.answers.len() == 1 && self.answers[0].complete, "{self:?}");
        self.answers.into_iter().next().expect("one")
    }

    pub fn texts(&self) -> Vec<String> {
        self.answers.iter().map(Answer::text).collect()
    }
}

pub struct Client<'a> {
    web: &'a Web,
    pub stream: MemoryStream,
}

impl Client<'_> {
    pub fn send(&self, bytes: impl AsRef<[u8]>) {
        self.stream.send(bytes.as_ref());
        self.web.settle();
    }

    /// What has come since the last look; `HEAD` in front of `request` tells how to read it.
    pub fn ask(&self, request: impl AsRef<[u8]>) -> Seen {
        self.send(&request);
        self.see(request.as_ref().starts_with(b"HEAD "))
    }

    pub fn sees(&self) -> Seen {
        self.see(false)
    }

    fn see(&self, head: bool) -> Seen {
        let raw = self.stream.received();
        let answers = answers(&raw, |_| head).expect("well-formed answers");
        let raw = String::from_utf8_lossy(&raw).into_owned();
        Seen { answers, closed: self.stream.is_closed(), raw }
    }

    pub fn is_gone(&self) -> bool {
        self.stream.is_gone()
    }
}

/// `GET` of a path, with more header lines.
pub fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: test\r\n{headers}\r\n")
}

/// `POST` of a body with its length.
pub fn post(path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n{headers}\r\n{body}")
}

/// `POST` of a chunked body, chunks and all.
pub fn post_chunked(path: &str, chunks: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}")
}
