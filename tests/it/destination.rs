//! Where a request goes: a handler sees the target and the host that the client sent, or the request was
//! refused.

use std::net::TcpStream;

use adieu::Supervisor;
use adieu::http::http_types::{Request, Response, Result};
use adieu::http::{Exchange, Http};
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use smol::Async;

use crate::rig::run_with;
use crate::web::{Web, get};

/// Tells the target and the host as they were sent, and the URL that was made of them.
async fn tell(request: Request, exchange: Exchange) -> Result<Response> {
    let host = request.header("host").map_or("none", |host| host.as_str());
    Ok(format!("{} {host} {}", exchange.target(), request.url()).into())
}

fn server() -> Web {
    Web::serve(tell)
}

fn to_host(host: &str) -> String {
    format!("GET /x HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

#[test]
fn the_host_is_the_one_that_was_sent_or_the_request_is_refused() {
    // What was sent, and the URL; none if it is refused.
    let table: &[(&str, Option<&str>)] = &[
        ("test", Some("test")),
        ("TEST", Some("test")),
        ("test:8080", Some("test:8080")),
        ("test:80", Some("test")),
        ("test:443", Some("test:443")),
        ("test:", Some("test")),
        ("test.", Some("test.")),
        ("a.b.c.", Some("a.b.c.")),
        ("a..b", Some("a..b")),
        (".", Some(".")),
        ("-a", Some("-a")),
        ("a-", Some("a-")),
        ("a--b", Some("a--b")),
        ("my_host", Some("my_host")),
        ("_dmarc.test", Some("_dmarc.test")),
        ("a~!$&'()*+;=b", Some("a~!$&'()*+;=b")),
        ("xn--nxasmq6b", Some("xn--nxasmq6b")),
        ("XN--NXASMQ6B.test", Some("xn--nxasmq6b.test")),
        // A name that stands for none: whether the engine takes it depends on its tables.
        ("xn--a", Some("xn--a")),
        ("%65xample.com", None),
        ("test%2e", None),
        ("t%00", None),
        ("test,other", None),
        ("w\u{f6}rd", None),
        ("te\\st", None),
        ("te|st", None),
        ("user@test", None),
        // Names that a URL parser reads as numbers.
        ("127.0.0.1", Some("127.0.0.1")),
        ("127.0.0.1:81", Some("127.0.0.1:81")),
        ("127.0.0.1.", None),
        ("127.0.0.01", None),
        ("0177.0.0.1", None),
        ("0x7f.1", None),
        ("0X7F.0.0.1", None),
        ("1.2", None),
        ("1", None),
        ("0", None),
        ("0x", None),
        ("4294967295", None),
        ("4294967296", None),
        ("1.2.3.256", None),
        ("1.2.3.4.5", None),
        ("a.1", None),
        ("a.1.", None),
        ("a.0x1", None),
        ("a.0x1g", Some("a.0x1g")),
        ("1.a", Some("1.a")),
        // IPv6.
        ("[::1]", Some("[::1]")),
        ("[::1]:81", Some("[::1]:81")),
        ("[2001:DB8::A]", Some("[2001:db8::a]")),
        ("[::ffff:102:304]", Some("[::ffff:102:304]")),
        ("[::ffff:1.2.3.4]", None),
        ("[::1.2.3.4]", None),
        ("[0:0:0:0:0:0:0:1]", None),
        ("[0::1]", None),
        ("[::01]", None),
        ("[1::0:0:2:3]", None),
        ("[fe80::1%25eth0]", None),
        ("[v1.a]", None),
        ("[]", None),
        ("[::1", None),
        ("::1", None),
        ("[::1]x", None),
        // Ports.
        ("test:080", None),
        ("test:0", None),
        ("test:65535", Some("test:65535")),
        ("test:65536", None),
        ("test:+1", None),
        ("test:1:2", None),
        ("", None),
        (":80", None),
    ];
    let web = server();
    for &(host, url) in table {
        let told = url.map(|url| format!("/x {host} http://{url}/x"));
        let answer = web.ask(to_host(host)).one();
        assert_eq!(answer.status, if url.is_some() { 200 } else { 400 }, "{host:?}");
        assert_eq!((answer.status == 200).then(|| answer.text()), told, "{host:?}");
        // And the same in a target.
        let target = format!("http://{host}/x");
        let answer = web.ask(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")).one();
        let told = url.map(|url| format!("{target} {host} http://{url}/x"));
        assert_eq!((answer.status == 200).then(|| answer.text()), told, "{target:?}");
    }
}

#[test]
fn a_byte_that_no_uri_may_have_is_refused_in_a_target_and_all_others_are_let_in() {
    let web = server();
    let allowed = b"/?-._~:@!$&'()*+,;=[]";
    for byte in (0x21..=0xffu8).filter(|byte| *byte != b'%') {
        let allowed = u8::is_ascii_alphanumeric(&byte) || allowed.contains(&byte);
        for start in ["/a", "/a?b=", "http://test/a"] {
            let target = [start.as_bytes(), &[byte], b"c"].concat();
            let request = [b"GET ", &target[..], b" HTTP/1.1\r\nHost: test\r\n\r\n"].concat();
            let answer = web.ask(&request).one();
            let shown = target.escape_ascii();
            assert_eq!(answer.status, if allowed { 200 } else { 400 }, "{shown}");
            assert!(!allowed || answer.body.starts_with(&target), "{shown}: {}", answer.text());
        }
    }
}

#[test]
fn a_percent_sign_has_two_hexadecimal_digits_behind_it() {
    let web = server();
    for (target, is_well) in [
        ("/%20%7E%c3%B6", true),
        ("/%00", true),
        ("/?a=%41", true),
        ("/%", false),
        ("/%2", false),
        ("/%zz", false),
        ("/%2z", false),
        ("/%u0041", false),
        ("/?%", false),
        ("/?a%%41", false),
    ] {
        let answer = web.ask(get(target, "")).one();
        assert_eq!(answer.status, if is_well { 200 } else { 400 }, "{target}");
    }
}

#[test]
fn what_a_url_parser_would_make_another_path_of_is_refused_or_told_as_it_was_sent() {
    let table = [
        (r"/x\..\admin", None),
        (r"/\evil.example/x", None),
        ("/a|b{c}\"<>", None),
        ("/a/../b", Some("/a/../b test http://test/b")),
        ("/a/%2e%2E/b", Some("/a/%2e%2E/b test http://test/b")),
        ("/./a/.", Some("/./a/. test http://test/a/")),
        ("/..", Some("/.. test http://test/")),
        ("//a//b", Some("//a//b test http://test//a//b")),
        ("/a/..;/b", Some("/a/..;/b test http://test/a/..;/b")),
        ("/?a='b'", Some("/?a='b' test http://test/?a=%27b%27")),
        ("/?", Some("/? test http://test/?")),
        ("/?a[b]=/?:@", Some("/?a[b]=/?:@ test http://test/?a[b]=/?:@")),
        ("http://test", Some("http://test test http://test/")),
        ("http://test?a", Some("http://test?a test http://test/?a")),
        ("HTTPS://TEST/a", Some("HTTPS://TEST/a TEST http://test/a")),
    ];
    let web = server();
    for (target, told) in table {
        let answer = web.ask(get(target, "")).one();
        assert_eq!(answer.status, if told.is_some() { 200 } else { 400 }, "{target}");
        assert_eq!((answer.status == 200).then(|| answer.text()).as_deref(), told, "{target}");
    }
}

#[test]
fn no_host_is_made_up_for_a_client_that_named_none() {
    let web = server();
    assert_eq!(web.ask("GET /a HTTP/1.0\r\n\r\n").one().text(), "/a none http://localhost/a");
    let absolute = web.ask("GET http://test/a HTTP/1.0\r\n\r\n").one();
    assert_eq!(absolute.text(), "http://test/a test http://test/a");
}

async fn ends(request: Request) -> Result<Response> {
    let end = |address: Option<&str>| address.unwrap_or("none").to_owned();
    Ok(format!("{} {}", end(request.peer_addr()), end(request.local_addr())).into())
}

#[test]
fn a_request_names_both_ends_of_its_connection() {
    assert_eq!(Web::serve(ends).ask(get("/", "")).one().text(), "client 1 memory");
    let server = Http::bind("127.0.0.1:0", ends).expect("a port is free");
    let address = server.listener().local_addr().expect("it is TCP");
    let supervisor = Supervisor::new().service("web", server);
    let trigger = supervisor.trigger();
    let ((peer, seen), report) = run_with(supervisor, async {
        let mut stream = Async::<TcpStream>::connect(address).await.expect("it listens");
        let request = get("/", "Connection: close\r\n");
        stream.write_all(request.as_bytes()).await.expect("there is room");
        let mut seen = String::new();
        stream.read_to_string(&mut seen).await.expect("it is answered");
        trigger.shut_down();
        (stream.get_ref().local_addr().expect("it is TCP"), seen)
    });
    assert!(seen.ends_with(&format!("\r\n\r\n{peer} {address}")), "{seen}");
    assert!(report.is_graceful());
}
