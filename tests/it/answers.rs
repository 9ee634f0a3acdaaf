//! Answers: their framing, the headers that are the server's to decide, and handlers that go wrong.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use adieu::Signal;
use adieu::http::Exchange;
use adieu::http::http_types::{Body, Error, Request, Response, StatusCode};
use async_channel::{Receiver, Sender, unbounded};
use futures_lite::io::{BufReader, Cursor, repeat};
use futures_lite::{AsyncRead, AsyncReadExt, Stream};

use crate::reader::Answer;
use crate::web::{Web, get, post};

/// A body whose pieces a test hands in.
pub struct Pieces(pub Pin<Box<Receiver<io::Result<&'static str>>>>);

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let Some(piece) = ready!(self.0.as_mut().poll_next(cx)).transpose()? else {
            return Poll::Ready(Ok(0));
        };
        assert_ne!(piece, "panic");
        buf[..piece.len()].copy_from_slice(piece.as_bytes());
        Poll::Ready(Ok(piece.len()))
    }
}

fn pieces(length: Option<usize>) -> (Sender<io::Result<&'static str>>, Web) {
    let (sender, receiver) = unbounded();
    let web = Web::serve(move |_: Request| {
        let body = BufReader::new(Pieces(Box::pin(receiver.clone())));
        async move { Ok(Response::from(Body::from_reader(body, length))) }
    });
    (sender, web)
}

/// Answers every request with what `response` makes.
fn with(response: impl Fn() -> Response + 'static) -> Web {
    Web::serve(move |_: Request| {
        let response = response();
        async move { Ok(response) }
    })
}

fn status(status: StatusCode, body: &'static str) -> Response {
    let mut response = Response::new(status);
    response.set_body(body);
    response
}

fn streamed(body: &'static str) -> Body {
    Body::from_reader(Cursor::new(body), None)
}

#[test]
fn an_answer_has_length_type_and_date() {
    let answer = with(|| "hello".into()).ask(get("/", "")).one();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-length"), Some("5"));
    assert_eq!(answer.header("content-type"), Some("text/plain;charset=utf-8"));
    assert_eq!(answer.header("connection"), None);
    assert_eq!(answer.text(), "hello");
    let date = answer.header("date").unwrap();
    assert!(date.len() == 29 && date.ends_with(" GMT"), "{date}");
}

#[test]
fn a_handler_may_set_its_own_date() {
    let web = with(|| {
        let mut response = Response::new(200);
        response.insert_header("date", "Thu, 01 Jan 1970 00:00:00 GMT");
        response
    });
    let answer = web.ask(get("/", "")).one();
    assert_eq!(answer.header("date"), Some("Thu, 01 Jan 1970 00:00:00 GMT"));
}

#[test]
fn head_is_answered_like_get_without_the_body() {
    let head = get("/", "").replace("GET", "HEAD");
    let answer = with(|| "hello".into()).ask(&head).one();
    assert_eq!((answer.status, answer.header("content-length")), (200, Some("5")));
    // Lengths that nobody knows are not made up.
    let web = with(|| streamed("hello").into());
    let answer = web.ask(&head).one();
    assert_eq!((answer.header("content-length"), answer.header("transfer-encoding")), (None, None));
    let answer = with(|| Response::new(200)).ask(&head).one();
    assert_eq!((answer.header("content-length"), answer.header("transfer-encoding")), (None, None));
    // And the next answer begins where this one ends.
    let client = web.connect();
    client.ask(&head).one();
    assert_eq!(client.ask(get("/", "")).one().text(), "hello");
}

#[test]
fn statuses_without_content_have_neither_body_nor_length() {
    for code in [StatusCode::NoContent, StatusCode::NotModified] {
        for body in ["", "not to be sent"] {
            let client = with(move || status(code, body));
            let client = client.connect();
            let answer = client.ask(get("/", "")).one();
            assert_eq!(answer.status, code as u16);
            assert_eq!(answer.header("content-length"), None, "{code}");
            assert_eq!(answer.header("transfer-encoding"), None, "{code}");
            assert_eq!(client.ask(get("/", "")).one().status, code as u16);
        }
    }
}

#[test]
fn a_205_says_that_it_is_empty() {
    let web = with(|| status(StatusCode::ResetContent, "not to be sent"));
    let seen = web.ask(get("/", "").repeat(2));
    assert_eq!(seen.statuses(), [205, 205]);
    assert!(seen.answers.iter().all(|answer| answer.header("content-length") == Some("0")));
    let web = with(|| {
        let mut response = status(StatusCode::ResetContent, "");
        response.set_body(streamed("not to be sent"));
        response
    });
    assert_eq!(web.ask(get("/", "").repeat(2)).statuses(), [205, 205]);
}

#[test]
fn an_interim_status_is_no_answer() {
    for code in [StatusCode::Continue, StatusCode::SwitchingProtocols, StatusCode::EarlyHints] {
        let web = with(move || Response::new(code));
        assert_eq!(web.ask(get("/", "")).one().status, 500, "{code}");
        let upgrade = "Connection: upgrade\r\nUpgrade: x\r\n";
        assert_eq!(web.ask(get("/", upgrade)).one().status, 500, "{code}");
    }
}

#[test]
fn a_streamed_answer_is_chunked_and_flushed_as_it_comes() {
    let (sender, web) = pieces(None);
    let client = web.connect();
    let seen = client.ask(get("/", ""));
    assert_eq!(seen.answers[0].header("transfer-encoding"), Some("chunked"));
    for piece in ["hello", "and", "bye"] {
        sender.try_send(Ok(piece)).unwrap();
        web.settle();
        let raw = String::from_utf8(client.stream.received()).unwrap();
        assert_eq!(raw, format!("{:X}\r\n{piece}\r\n", piece.len()));
    }
    sender.close();
    web.settle();
    assert_eq!(client.stream.received(), b"0\r\n\r\n");
    assert!(!client.stream.is_closed());
}

#[test]
fn to_http_1_0_a_streamed_answer_ends_with_the_connection() {
    let web = with(|| streamed("hello").into());
    let seen = web.ask("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert!(seen.closed);
    let answer = &seen.answers[0];
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
    assert_eq!((answer.header("content-length"), answer.header("transfer-encoding")), (None, None));
    assert!(answer.says_close());
}

#[test]
fn a_large_answer_arrives_whole_however_slowly_it_is_read() {
    let web = with(|| Body::from_reader(BufReader::new(repeat(b'.').take(300_000)), None).into());
    let client = web.connect_with_capacity(100);
    client.send(get("/", ""));
    let mut bytes = Vec::new();
    loop {
        let more = client.stream.receive(1000);
        if more.is_empty() {
            break;
        }
        bytes.extend(more);
        web.settle();
    }
    let answers = crate::reader::answers(&bytes, |_| false).unwrap();
    assert!(answers[0].complete && answers[0].body.len() == 300_000);
}

/// The fields that frame an answer or are about the connection, as they were sent.
fn framing(answer: &Answer) -> Vec<String> {
    let names = [
        "content-length",
        "transfer-encoding",
        "connection",
        "keep-alive",
        "proxy-connection",
        "upgrade",
        "te",
        "trailer",
        "x-hop",
    ];
    let sent = answer.headers.iter().filter(|(name, _)| names.contains(&name.as_str()));
    let mut sent: Vec<_> = sent.map(|(name, value)| format!("{name}: {value}")).collect();
    sent.sort();
    sent
}

/// What a handler has answered, with these fields beside.
fn said(status: u16, body: impl Into<Body>, fields: &[(&str, &str)]) -> Response {
    let mut response = Response::new(status);
    let body = body.into();
    // An empty body is none, as most handlers answer a HEAD or with 304.
    if body.is_empty() != Some(true) {
        response.set_body(body);
    }
    fields.iter().for_each(|(name, value)| response.append_header(*name, *value));
    response
}

#[test]
fn what_a_handler_says_of_the_framing_is_used_where_it_is_true_dropped_or_refused() {
    const LENGTH: &str = "content-length";
    const CODING: &str = "transfer-encoding";
    // Status, body, what the handler says; what is sent, which is 500 if it is not this.
    type Row<'a> = (u16, &'a str, &'a [(&'a str, &'a str)], &'a [&'a str]);
    let table: &[Row<'_>] = &[
        (200, "hello", &[(LENGTH, "5")], &["content-length: 5"]),
        (200, "hello", &[(LENGTH, "005")], &["content-length: 5"]),
        (200, "hello", &[(LENGTH, "5"), (LENGTH, "5")], &["content-length: 5"]),
        (200, "hello", &[(LENGTH, "5"), (LENGTH, "6")], &[]),
        (200, "hello", &[(LENGTH, "500")], &[]),
        (200, "hello", &[(LENGTH, "4")], &[]),
        (200, "hello", &[(LENGTH, "0")], &[]),
        (200, "", &[(LENGTH, "0")], &["content-length: 0"]),
        (200, "", &[(LENGTH, "5")], &[]),
        (200, "hello", &[(LENGTH, "")], &[]),
        (200, "hello", &[(LENGTH, "+5")], &[]),
        (200, "hello", &[(LENGTH, "5, 5")], &[]),
        (200, "hello", &[(LENGTH, "five")], &[]),
        (200, "hello", &[(LENGTH, "18446744073709551616")], &[]),
        // Of unknown length: it is held to what the handler says.
        (200, "~hello", &[(LENGTH, "5")], &["content-length: 5"]),
        (200, "~hello", &[(LENGTH, "5"), (CODING, "chunked")], &["content-length: 5"]),
        (200, "~hello", &[(LENGTH, "nonsense")], &[]),
        (200, "~hello", &[], &["transfer-encoding: chunked"]),
        (200, "~hello", &[(CODING, "chunked")], &["transfer-encoding: chunked"]),
        (200, "~hello", &[(CODING, "Chunked")], &["transfer-encoding: chunked"]),
        (200, "~hello", &[(CODING, "gzip, chunked")], &[]),
        (200, "hello", &[(CODING, "chunked")], &["content-length: 5"]),
        (200, "hello", &[(CODING, "identity")], &[]),
        (200, "hello", &[(CODING, "gzip")], &[]),
        (200, "hello", &[(CODING, "chunked"), (CODING, "chunked")], &["content-length: 5"]),
        // Answers without content.
        (204, "", &[(LENGTH, "0")], &["-"]),
        (204, "hello", &[(LENGTH, "5")], &["-"]),
        (204, "", &[(CODING, "chunked")], &["-"]),
        (205, "", &[(LENGTH, "5")], &["content-length: 0"]),
        (204, "", &[(LENGTH, "nonsense")], &[]),
        (304, "", &[], &["-"]),
        (304, "", &[(LENGTH, "5")], &["content-length: 5"]),
        (304, "", &[(LENGTH, "0")], &["content-length: 0"]),
        (304, "hello", &[(LENGTH, "5")], &["content-length: 5"]),
        (304, "hello", &[(LENGTH, "6")], &[]),
        (304, "~hello", &[(LENGTH, "6")], &["content-length: 6"]),
        (304, "hello", &[], &["-"]),
        (404, "hello", &[(LENGTH, "5")], &["content-length: 5"]),
    ];
    for &(status, text, fields, sent) in table {
        let rows: Vec<_> =
            fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let web = Web::serve(move |_: Request| {
            let fields: Vec<_> = rows.iter().map(|(name, value)| (&**name, &**value)).collect();
            let body = text.strip_prefix('~').map_or_else(|| text.into(), streamed);
            let response = said(status, body, &fields);
            async move { Ok(response) }
        });
        let client = web.connect();
        let case = format!("{status} {text:?} {fields:?}");
        let answer = client.ask(get("/", "")).one();
        let expected: Vec<_> = sent.iter().copied().filter(|line| *line != "-").collect();
        match sent {
            [] => assert_eq!(answer.status, 500, "{case}"),
            _ => {
                assert_eq!((answer.status, framing(&answer)), (status, owned(&expected)), "{case}");
                let has_body = !matches!(status, 204 | 205 | 304);
                let body = text.trim_start_matches('~');
                assert_eq!(answer.text(), if has_body { body } else { "" }, "{case}");
            }
        }
        // The next answer begins where this one ends.
        let after = client.ask(get("/", "")).one();
        assert_eq!(after.status, answer.status, "{case}");
    }
}

fn owned(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| (*line).to_owned()).collect()
}

#[test]
fn to_head_a_length_is_what_a_get_would_bring() {
    let table: &[(&str, &str, Option<&str>)] = &[
        ("", "5", Some("content-length: 5")),
        ("", "0", Some("content-length: 0")),
        ("hello", "5", Some("content-length: 5")),
        ("~hello", "5", Some("content-length: 5")),
        ("hello", "6", None),
        ("", "nonsense", None),
    ];
    for &(text, length, sent) in table {
        let web = with(move || {
            let body = text.strip_prefix('~').map_or_else(|| text.into(), streamed);
            said(200, body, &[("content-length", length)])
        });
        let client = web.connect();
        let answer = client.ask(get("/", "").replace("GET", "HEAD")).one();
        match sent {
            Some(sent) => assert_eq!((answer.status, framing(&answer)), (200, owned(&[sent]))),
            None => assert_eq!(answer.status, 500, "{text:?} {length}"),
        }
        assert_eq!(answer.text(), "");
        assert!(!client.stream.is_closed());
    }
}

#[test]
fn a_body_of_unknown_length_is_held_to_the_length_that_the_handler_says() {
    for (length, whole) in [("5", true), ("4", true), ("6", false)] {
        for request in [get("/", ""), "GET / HTTP/1.0\r\n\r\n".to_owned()] {
            let web = with(move || said(200, streamed("hello"), &[("content-length", length)]));
            let seen = web.ask(&request);
            let answer = &seen.answers[0];
            assert_eq!((answer.header("content-length"), answer.complete), (Some(length), whole));
            assert!("hello".starts_with(&answer.text()));
            assert!(whole || seen.closed, "what is too short does not look whole");
        }
    }
    let web = with(|| said(200, streamed("hello"), &[("content-length", "5")]));
    let seen = web.ask("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".repeat(2));
    assert_eq!((seen.statuses(), seen.closed), (vec![200, 200], false), "no close is needed");
}

#[test]
fn what_a_handler_says_of_the_connection_stays_between_it_and_the_server() {
    type Row<'a> = (u16, &'a [(&'a str, &'a str)], &'a [&'a str]);
    let upgrade = ("upgrade", "shouting/2");
    let table: &[Row<'_>] = &[
        (200, &[("connection", "keep-alive"), ("keep-alive", "timeout=5")], &[]),
        (200, &[("connection", "close, Keep-Alive")], &["connection: close"]),
        (200, &[("connection", "X-Hop"), ("x-hop", "a")], &[]),
        (200, &[("x-hop", "a"), ("connection", "close, x-hop")], &["connection: close"]),
        (200, &[("x-hop", "a")], &["x-hop: a"]),
        (200, &[("proxy-connection", "keep-alive"), ("te", "trailers")], &[]),
        (200, &[("trailer", "x-sum")], &[]),
        (200, &[upgrade, ("connection", "upgrade")], &[]),
        (426, &[upgrade], &["connection: upgrade", "upgrade: shouting/2"]),
        (
            426,
            &[("connection", "upgrade, close"), upgrade],
            &["connection: close, upgrade", "upgrade: shouting/2"],
        ),
        (500, &[("connection", "(")], &[]),
    ];
    for &(status, fields, sent) in table {
        let rows: Vec<_> =
            fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let web = Web::serve(move |_: Request| {
            let fields: Vec<_> = rows.iter().map(|(name, value)| (&**name, &**value)).collect();
            let response = said(if status == 500 { 200 } else { status }, "hello", &fields);
            async move { Ok(response) }
        });
        let answer = web.ask(get("/", "")).one();
        let mut lines = framing(&answer);
        lines.retain(|line| !line.starts_with("content-length"));
        assert_eq!((answer.status, lines), (status, owned(sent)), "{fields:?}");
    }
}

#[test]
fn the_server_makes_up_no_content_type() {
    for code in [204, 205, 304] {
        let answer = with(move || Response::new(code)).ask(get("/", "")).one();
        assert_eq!(answer.header("content-type"), None, "{code}");
    }
    let web = with(|| {
        let mut response = Response::from(streamed("hello"));
        response.remove_header("content-type");
        response
    });
    let seen = web.ask("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(seen.answers[0].header("content-type"), None);
}

/// IANA's registry of HTTP status codes, as far as http-types knows them; 418 has no phrase there.
const REASONS: &str = "\
    200 OK, 201 Created, 202 Accepted, 203 Non-Authoritative Information, 204 No Content, \
    205 Reset Content, 206 Partial Content, 207 Multi-Status, 226 IM Used, 300 Multiple Choices, \
    301 Moved Permanently, 302 Found, 303 See Other, 304 Not Modified, 307 Temporary Redirect, \
    308 Permanent Redirect, 400 Bad Request, 401 Unauthorized, 402 Payment Required, 403 Forbidden, \
    404 Not Found, 405 Method Not Allowed, 406 Not Acceptable, 407 Proxy Authentication Required, \
    408 Request Timeout, 409 Conflict, 410 Gone, 411 Length Required, 412 Precondition Failed, \
    413 Content Too Large, 414 URI Too Long, 415 Unsupported Media Type, 416 Range Not Satisfiable, \
    417 Expectation Failed, 418 I'm a teapot, 421 Misdirected Request, 422 Unprocessable Content, \
    423 Locked, 424 Failed Dependency, 425 Too Early, 426 Upgrade Required, \
    428 Precondition Required, 429 Too Many Requests, 431 Request Header Fields Too Large, \
    451 Unavailable For Legal Reasons, 500 Internal Server Error, 501 Not Implemented, \
    502 Bad Gateway, 503 Service Unavailable, 504 Gateway Timeout, 505 HTTP Version Not Supported, \
    506 Variant Also Negotiates, 507 Insufficient Storage, 508 Loop Detected, 510 Not Extended, \
    511 Network Authentication Required";

#[test]
fn every_status_has_its_registered_reason() {
    let mut reasons: Vec<_> = REASONS.split(", ").collect();
    for code in 200..=599 {
        let Ok(known) = StatusCode::try_from(code) else { continue };
        let raw = with(move || Response::new(known)).ask(get("/", "")).raw;
        let line = raw.split("\r\n").next().unwrap().strip_prefix("HTTP/1.1 ").unwrap();
        let at = reasons.iter().position(|reason| *reason == line);
        reasons.remove(at.unwrap_or_else(|| panic!("{line:?} is not registered")));
    }
    assert_eq!(reasons, [""; 0], "http-types knows them no more");
}

#[test]
fn line_ends_and_controls_in_a_header_value_are_a_500() {
    for value in ["a\r\nInjected: b", "a\nb", "a\rb", "a\0b", "a\u{7f}b"] {
        let web = with(move || {
            let mut response = Response::new(200);
            response.insert_header("name", value);
            response
        });
        let seen = web.ask(get("/", ""));
        assert!(!seen.raw.to_lowercase().contains("injected"), "{}", seen.raw);
        assert_eq!(seen.one().status, 500, "{value:?}");
    }
}

#[test]
fn a_handler_closes_the_connection_with_a_header() {
    for value in ["close", "Close", "foo, close"] {
        let web = with(move || {
            let mut response = Response::new(200);
            response.insert_header("connection", value);
            response
        });
        let seen = web.ask(get("/", "").repeat(2));
        assert_eq!((seen.statuses(), seen.closed), (vec![200], true));
        assert!(seen.one().says_close());
    }
}

#[test]
fn an_error_keeps_its_status_and_its_text_stays_here() {
    let table =
        [(404, 404), (422, 422), (500, 500), (503, 503), (200, 500), (304, 500), (100, 500)];
    for (of_error, answered) in table {
        let web = Web::serve(move |_: Request| async move {
            Err::<Response, _>(Error::from_str(of_error, "the password is 1234"))
        });
        let client = web.connect();
        let seen = client.ask(get("/", ""));
        assert!(!seen.raw.contains("1234"));
        assert_eq!(seen.one().status, answered, "{of_error}");
        assert_eq!(client.ask(get("/", "")).one().status, answered, "the connection goes on");
    }
}

#[test]
fn a_panic_is_a_500_and_is_counted() {
    let web = Web::serve(|request: Request| {
        assert!(request.url().path() != "/now", "before the first await");
        async move {
            assert!(request.url().path() != "/later", "after it");
            Ok("hello".into())
        }
    });
    let client = web.connect();
    assert_eq!(
        client.ask(get("/now", "") + &get("/later", "") + &get("/", "")).statuses(),
        [500, 500, 200]
    );
    web.rig.signal(Signal::Term);
    let report = web.rig.report();
    assert_eq!(report.service("web").unwrap().counts.panicked, 2);
    assert!(report.is_graceful());
}

#[test]
fn a_body_that_panics_costs_its_own_connection_alone() {
    struct Panics;
    impl AsyncRead for Panics {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            panic!("while it is read")
        }
    }
    let web = Web::serve(|request: Request| async move {
        match request.url().path() {
            "/" => Ok(Response::from("hello")),
            _ => Ok(Body::from_reader(BufReader::new(Panics), None).into()),
        }
    });
    let other = web.connect();
    let client = web.connect();
    client.send(get("/panics", ""));
    assert!(client.is_gone());
    assert_eq!(other.ask(get("/", "")).one().text(), "hello");
}

#[test]
fn an_answer_that_fails_midway_does_not_look_complete() {
    let (sender, web) = pieces(None);
    let client = web.connect();
    sender.try_send(Ok("hello")).unwrap();
    sender.try_send(Err(io::ErrorKind::Other.into())).unwrap();
    let seen = client.ask(get("/", ""));
    assert_eq!(seen.answers[0].text(), "hello");
    assert!(!seen.answers[0].complete && seen.closed);
}

/// What ends an answer before it is whole.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Cut {
    Deadline,
    SecondSignal,
    AnswerTime,
    Failure,
    Panic,
    /// It comes to its own end.
    Nothing,
}

#[test]
fn an_answer_that_ends_with_the_connection_is_reset_if_it_is_cut() {
    use Cut::{AnswerTime, Deadline, Failure, Nothing, Panic, SecondSignal};
    for cut in [Deadline, SecondSignal, AnswerTime, Failure, Panic, Nothing] {
        let (sender, web) = pieces(None);
        let client = web.connect_with_capacity(if cut == AnswerTime { 100 } else { 1 << 20 });
        sender.try_send(Ok("a piece of it")).unwrap();
        client.send("GET / HTTP/1.0\r\n\r\n");
        assert!(!client.stream.is_closed(), "{cut:?}");
        match cut {
            Deadline => {
                web.rig.signal(Signal::Term);
                web.pass(Duration::from_secs(10));
            }
            SecondSignal => {
                web.rig.signal(Signal::Term);
                web.pass(Duration::from_secs(1));
                web.rig.signal(Signal::Term);
            }
            AnswerTime => web.pass(Duration::from_secs(31)),
            Failure => sender.try_send(Err(io::ErrorKind::Other.into())).unwrap(),
            Panic => sender.try_send(Ok("panic")).unwrap(),
            Nothing => drop(sender.close()),
        }
        web.settle();
        assert!(client.stream.is_closed(), "{cut:?}");
        assert_eq!(client.stream.is_reset(), cut != Nothing, "{cut:?}");
        assert!(cut != Nothing || client.sees().raw.ends_with("a piece of it"));
    }
}

#[test]
fn an_answer_shorter_than_its_length_closes_and_a_longer_one_is_cut() {
    let (sender, web) = pieces(Some(10));
    sender.try_send(Ok("hello")).unwrap();
    sender.close();
    let seen = web.ask(get("/", ""));
    assert!(!seen.answers[0].complete && seen.closed, "{seen:?}");
    let (sender, web) = pieces(Some(3));
    sender.try_send(Ok("hello")).unwrap();
    let client = web.connect();
    assert_eq!(client.ask(get("/", "")).one().text(), "hel");
}

#[test]
fn an_upload_is_streamed_through_a_handler_both_ways() {
    let web = Web::serve(|mut request: Request| async move {
        let length = request.len();
        Ok(Response::from(Body::from_reader(request.take_body(), length)))
    });
    let client = web.connect();
    let chunked = "POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.send(chunked);
    for piece in ["5\r\nhello\r\n", "3\r\nbye\r\n", "0\r\n\r\n"] {
        client.stream.received();
        client.send(piece);
        assert!(String::from_utf8(client.stream.received()).unwrap().ends_with(piece));
    }
    let body = "0123456789".repeat(50_000);
    let seen = client.ask(post("/", "", &body) + &get("/", ""));
    assert_eq!(seen.statuses(), [200, 200]);
    assert!(seen.answers[0].text() == body);
}

#[test]
fn a_handler_may_leave_the_body_to_a_task_of_the_service() {
    let (tell, told) = unbounded();
    let web = Web::serve(move |mut request: Request, exchange: Exchange| {
        let tell = tell.clone();
        async move {
            let task = exchange.clone();
            exchange.spawn(async move {
                let body = request.body_string().await;
                task.sleep(Duration::from_secs(1)).await;
                tell.try_send(body.unwrap_or_else(|error| error.to_string())).unwrap();
            });
            Ok("accepted".into())
        }
    });
    assert_eq!(web.ask(post("/", "", "body")).one().text(), "accepted");
    // Whatever it got, it comes to an end; and the drain waits for it.
    web.rig.signal(Signal::Term);
    assert!(!web.rig.run.is_finished());
    web.pass(Duration::from_secs(1));
    assert!(told.try_recv().is_ok());
    assert!(web.rig.report().is_graceful());
}

#[test]
fn handlers_know_the_peer_and_the_time_left() {
    let web = Web::serve(|_: Request, exchange: Exchange| async move {
        let before = (exchange.draining(), exchange.time_left());
        exchange.shutdown().begun().await;
        exchange.sleep(Duration::from_secs(3)).await;
        let after = (exchange.draining(), exchange.time_left());
        Ok(format!("{} {before:?} {after:?}", exchange.peer()).into())
    });
    let client = web.connect();
    client.send(get("/", ""));
    web.rig.signal(Signal::Term);
    web.pass(Duration::from_secs(3));
    assert_eq!(client.sees().one().text(), "client 1 (false, None) (true, Some(7s))");
}

#[test]
fn refusals_of_a_method_tell_what_is_allowed() {
    let answer = Web::serve(|_: Request| async { Ok("".into()) })
        .ask(get("/", "").replace("GET", "TRACE"))
        .one();
    assert!(answer.header("allow").unwrap().starts_with("GET, HEAD, POST"));
}
