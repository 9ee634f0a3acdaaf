//! The guard at the door: which heads and bodies are let in, and with what the others are refused.

use std::cell::Cell;
use std::rc::Rc;

use adieu::http::Exchange;
use adieu::http::http_types::{Request, Response, Result, Version};
use futures_lite::AsyncReadExt;

use crate::web::{Client, Seen, Web, get, post, post_chunked};

/// Tells what has arrived: method, path and query, body.
async fn tell(mut request: Request) -> Result<Response> {
    let body = request.body_string().await?;
    let url = request.url();
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    Ok(format!("{} {}{query} {body}", request.method(), url.path()).into())
}

fn server() -> Web {
    Web::serve(tell)
}

#[track_caller]
fn assert_status(web: &Web, request: impl AsRef<[u8]>, status: u16) {
    let request = request.as_ref();
    let shown = String::from_utf8_lossy(&request[..request.len().min(300)]).into_owned();
    let seen = web.ask(request);
    assert_eq!(seen.statuses(), [status], "{shown:?} {}", seen.raw);
    let refused = status >= 400;
    assert_eq!(seen.closed, refused, "{shown:?}");
    let answer = seen.one();
    if refused {
        assert!(answer.says_close(), "{shown:?}");
        assert_eq!(answer.header("content-type"), Some("text/plain;charset=utf-8"), "{shown:?}");
        assert!((3..100).contains(&answer.body.len()), "a short text: {answer:?}");
    }
}

#[test]
fn each_malformed_head_is_refused_with_its_status() {
    let line = |line: &str| format!("{line}\r\nHost: test\r\n\r\n");
    let header = |header: &str| get("/", &format!("{header}\r\n"));
    let table: Vec<(u16, String)> = vec![
        // The request line.
        (400, line("GET")),
        (400, line("GET /")),
        (400, line("GET  / HTTP/1.1")),
        (400, line("GET / HTTP/1.1 ")),
        (400, line(" GET / HTTP/1.1")),
        (400, line("GET\t/ HTTP/1.1")),
        (400, line("GET / http/1.1")),
        (400, line("GET / HTTP/1.10")),
        (400, line("GET / HTTP/1")),
        (400, line("GET / HTTX/1.1")),
        (400, line("GET /a b HTTP/1.1")),
        (400, line("G(T / HTTP/1.1")),
        (505, line("GET / HTTP/1.2")),
        (505, line("GET / HTTP/2.0")),
        (505, line("GET / HTTP/0.9")),
        (505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into()),
        (501, line("FETCH / HTTP/1.1")),
        (501, line("get / HTTP/1.1")),
        (405, line("TRACE / HTTP/1.1")),
        (405, line("CONNECT test:443 HTTP/1.1")),
        (405, line("CONNECT elsewhere:443 HTTP/1.1")),
        // The target.
        (400, line("GET test HTTP/1.1")),
        (400, line("GET * HTTP/1.1")),
        (400, line("GET /# HTTP/1.1")),
        (400, line("GET /ł HTTP/1.1")),
        (400, line("GET /\u{7f} HTTP/1.1")),
        (400, line("GET http://user@test/ HTTP/1.1")),
        (400, line("GET http:///path HTTP/1.1")),
        (400, line("GET ftp://test/ HTTP/1.1")),
        (400, line("GET http://elsewhere/ HTTP/1.1")),
        (414, line(&format!("GET /{} HTTP/1.1", "a".repeat(9000)))),
        // Host; more of them in tests/it/destination.rs.
        (400, "GET / HTTP/1.1\r\n\r\n".into()),
        (400, "GET http://test/ HTTP/1.1\r\n\r\n".into()),
        (400, "GET / HTTP/1.1\r\nHost:\r\n\r\n".into()),
        (400, header("Host: test")),
        (400, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n".into()),
        (400, "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n".into()),
        (400, "GET / HTTP/1.1\r\nHost: user@test\r\n\r\n".into()),
        (400, "GET / HTTP/1.1\r\nHost: test:http\r\n\r\n".into()),
        (400, "GET / HTTP/1.1\r\nHost: test:65536\r\n\r\n".into()),
        (400, "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n".into()),
        (400, "GET / HTTP/1.1\r\nHost: test/path\r\n\r\n".into()),
        // Header lines.
        (400, header("no colon")),
        (400, header("Space : before the colon")),
        (400, header("Tab\t: before the colon")),
        (400, header(": no name")),
        (400, header("Folded: a\r\n b")),
        (400, header("Folded: a\r\n\tb")),
        (400, header("Name(: a")),
        (400, header("Näme: a")),
        (400, header("Name: wörd")),
        (400, header("Name: a\0b")),
        (400, header("Name: a\u{1}b")),
        (400, header("Name: a\u{7f}b")),
        (400, header("Name: a\rb")),
        (400, header("Name: a\nOther: b")),
        (400, header("Connection: (")),
        (400, "GET / HTTP/1.1\nHost: test\n\n".into()),
        (400, "GET / HTTP/1.1\r\n Host: test\r\n\r\n".into()),
        (400, "\nGET / HTTP/1.1\r\nHost: test\r\n\r\n".into()),
        (400, format!("{}{}", "\r\n".repeat(9), get("/", ""))),
        (431, header(&format!("Name: {}", "a".repeat(9000)))),
        (431, get("/", &"A: b\r\n".repeat(127))),
        // Expect.
        (417, header("Expect: 200-ok")),
        (417, post("/", "Expect: 100-continue, more\r\n", "body")),
    ];
    let web = server();
    for (status, request) in table {
        assert_status(&web, request, status);
    }
}

#[test]
fn a_refusal_comes_before_the_rest_of_a_bad_head() {
    let web = server();
    for start in ["GET / HTTP/3.0\r\n", "GET / HTTP/1.1\r\nName : ", "\x16\x03\x01\x02\x00\x01\n"] {
        assert!(web.ask(start).statuses()[0] >= 400, "{start:?}");
    }
}

#[test]
fn each_good_head_is_let_in() {
    let host = |host: &str| format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let target = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n");
    let table: Vec<(&str, String)> = vec![
        ("GET / ", get("/", "")),
        ("GET /a?b=c ", get("/a?b=c", "")),
        ("GET // ", get("//", "")),
        ("GET / ", target("http://test")),
        ("GET / ", target("HTTP://TEST/")),
        ("GET /?a ", target("http://test?a")),
        ("GET /a ", target("https://test/a")),
        ("GET / ", host("test:8080")),
        ("GET / ", host("test:")),
        ("GET / ", host("[::1]:80")),
        ("GET / ", host("127.0.0.1")),
        ("GET / ", "GET / HTTP/1.1\r\nhost:test\r\n\r\n".into()),
        ("GET / ", get("/", "Name:\t a \t\r\nEmpty:\r\n")),
        ("GET / ", get("/", "Connection: , close-not ,\r\n")),
        ("GET / ", get("/", &"A: b\r\n".repeat(126))),
        ("GET / ", format!("\r\n\r\n{}", get("/", ""))),
        ("DELETE / ", "DELETE / HTTP/1.1\r\nHost: test\r\n\r\n".into()),
        ("GET / ", post("/", "", "").replace("POST", "GET")),
        ("PROPFIND / ", "PROPFIND / HTTP/1.1\r\nHost: test\r\n\r\n".into()),
    ];
    let web = server();
    for (told, request) in table {
        let answer = web.ask(&request).one();
        assert_eq!((answer.status, answer.text().as_str()), (200, told), "{request:?}");
    }
}

/// What a handler sees of a request: target, path, query, the host of the URL, the Host field.
async fn tell_targets(request: Request, exchange: Exchange) -> Result<Response> {
    let url = request.url();
    let seen = [
        exchange.target().to_owned(),
        url.path().to_owned(),
        url.query().map(|query| format!("?{query}")).unwrap_or_default(),
        url.host_str().unwrap_or_default().to_owned(),
        request.header("host").map(|host| host.as_str().to_owned()).unwrap_or_default(),
    ];
    Ok(seen.join("\n").into())
}

#[test]
fn a_handler_sees_the_host_and_target_that_were_sent_or_the_request_is_refused() {
    let web = Web::serve(tell_targets);
    let hosts = [
        "test",
        "TEST",
        "test:80",
        "test:8080",
        "a_b",
        "-a",
        "a.",
        "127.0.0.1",
        "127.1",
        "1.2",
        "0x7f.1",
        "0x7f000001",
        "2130706433",
        "0177.0.0.1",
        "01.2.3.4",
        "1.2.3.4.",
        "%65xample.com",
        "a..b",
        ".a",
        "xn--bcher-kva.example",
        "xn--a",
        "XN--BCHER-KVA",
        "[::1]",
        "[0:0:0::1]",
        "[::ffff:1.2.3.4]",
        "a:080",
        "a:",
        "a~b",
        "a!b",
        "a$b",
        "a'b",
        "a(b)",
        "a*b",
        "a+b",
        "a;b",
        "a=b",
        "a&b",
        "a\\b",
        "a^b",
        "a|b",
        "a{b}",
        "a`b",
        "a\"b",
        "a<b>",
        "a@b",
        "a#b",
        "a?b",
        "a/b",
        "é",
    ];
    let targets = [
        "/",
        "/a",
        "//evil.example/x",
        "/a//b",
        "/a/./b",
        "/a/../b",
        "/a/%2e%2e/b",
        "/%2E%2e",
        "/a;b=c",
        "/a%20b",
        "/a%2fb",
        "/?",
        "/?a=b&c",
        "/?a='b'",
        "/a?b?c/d",
        "/a:b@c",
        "/~a",
        "/a!$&'()*+,;=b",
        "/x\\..\\admin",
        "/\\evil.example/x",
        "/a|b",
        "/a{b}",
        "/a\"b",
        "/a<b>",
        "/a^b",
        "/a`b",
        "/a[b]",
        "/%",
        "/%4",
        "/%gg",
        "/a#b",
        "/a b",
        "/é",
    ];
    let mut refused = 0;
    for (host, target) in
        hosts.iter().map(|host| (*host, "/")).chain(targets.iter().map(|target| ("test", *target)))
    {
        let seen = web.ask(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        let answer = seen.one();
        if answer.status == 400 {
            refused += 1;
            continue;
        }
        let text = answer.text();
        let [sent, path, query, url_host, field] = text.split('\n').collect::<Vec<_>>()[..] else {
            panic!("{text}")
        };
        assert_eq!((sent, field), (target, host));
        let name = host.split(':').next().unwrap_or_default();
        // An IPv6 address has many spellings, and the URL has one of them.
        assert!(host.starts_with('[') || url_host.eq_ignore_ascii_case(name), "{text}");
        // What the URL standard changes is documented: dot segments, and a quote in the query.
        let dots = ["/./", "/../", "/%2e", "/%2E"].iter().any(|dots| target.contains(dots));
        let url = format!("{path}{query}").replace("%27", "'");
        assert!(dots || url == target, "{target}: {url}");
    }
    assert!(refused > 30, "{refused}");
}

#[test]
fn a_target_of_nearly_eight_thousand_bytes_is_let_in() {
    assert_eq!(server().ask(get(&format!("/{}", "a".repeat(7990)), "")).one().status, 200);
}

#[test]
fn options_of_the_server_is_answered_by_the_server_without_a_body() {
    let web = Web::serve(|_: Request| async { panic!("not for handlers") });
    let answer = web.ask("OPTIONS * HTTP/1.1\r\nHost: test\r\n\r\n").one();
    assert_eq!((answer.status, answer.header("content-length")), (200, Some("0")));
}

#[test]
fn the_body_of_options_of_the_server_is_not_the_next_request() {
    let web = server();
    let hidden = get("/hidden", "");
    let request = post("/", "", &hidden).replace("POST / ", "OPTIONS * ") + &get("/next", "");
    let seen = web.ask(request);
    assert_eq!(seen.texts(), ["", "GET /next "]);
}

#[test]
fn http_1_0_has_its_own_rules_of_keep_alive() {
    let web = server();
    let table = [
        ("", true, Some("close")),
        ("Connection: keep-alive\r\n", false, Some("keep-alive")),
        ("Connection: Keep-Alive, close\r\n", true, Some("close")),
        ("Host: test\r\n", true, Some("close")),
        ("Expect: 100-continue\r\n", true, Some("close")),
    ];
    for (headers, closes, connection) in table {
        let seen = web.ask(format!("GET / HTTP/1.0\r\n{headers}\r\n"));
        assert_eq!(seen.closed, closes, "{headers:?}");
        let answer = seen.one();
        assert_eq!((answer.status, answer.header("connection")), (200, connection));
    }
}

#[test]
fn handlers_see_which_version_was_spoken() {
    let web = Web::serve(|request: Request| async move {
        Ok(Response::from(format!("{:?}", request.version() == Some(Version::Http1_0))))
    });
    assert_eq!(web.ask("GET / HTTP/1.0\r\n\r\n").one().text(), "true");
    assert_eq!(web.ask(get("/", "")).one().text(), "false");
}

#[test]
fn connection_close_is_found_in_lists() {
    let web = server();
    for (value, closes) in [
        ("close", true),
        ("Close", true),
        ("foo, close", true),
        ("keep-alive ,\tclose", true),
        ("closed", false),
        ("keep-alive", false),
    ] {
        let seen = web.ask(get("/", &format!("Connection: {value}\r\n")));
        assert_eq!((seen.closed, seen.one().says_close()), (closes, closes), "{value}");
    }
    let seen = web.ask(get("/", "Connection: foo\r\nConnection: close\r\n"));
    assert!(seen.closed, "in the second line");
}

#[test]
fn each_ambiguous_length_is_refused() {
    let with = |headers: &str| format!("POST / HTTP/1.1\r\nHost: test\r\n{headers}\r\n");
    let table = [
        (400, with("Content-Length: 5\r\nContent-Length: 5\r\n")),
        (400, with("Content-Length: 5, 5\r\n")),
        (400, with("Content-Length: +5\r\n")),
        (400, with("Content-Length: -5\r\n")),
        (400, with("Content-Length: 0x5\r\n")),
        (400, with("Content-Length: 5 5\r\n")),
        (400, with("Content-Length: \r\n")),
        (400, with("Content-Length: 18446744073709551616\r\n")),
        (413, with("Content-Length: 18446744073709551615\r\n")),
        (400, with("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n")),
        (400, with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n")),
        (400, with("Transfer-Encoding: gzip\r\n")),
        (400, with("Transfer-Encoding: \r\n")),
        (400, with("Transfer-Encoding: identity\r\n")),
        (400, with("Transfer-Encoding: chunked, gzip\r\n")),
        (400, with("Transfer-Encoding: chunked, chunked\r\n")),
        (400, with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n")),
        (400, with("Transfer-Encoding: xchunked\r\n")),
        (400, with("Transfer-Encoding: chunked;a=b\r\n")),
        (501, with("Transfer-Encoding: gzip, chunked\r\n")),
        (501, with("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n")),
        (400, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n".into()),
    ];
    let web = server();
    for (status, request) in table {
        assert_status(&web, request, status);
    }
}

#[test]
fn each_malformed_chunk_is_refused() {
    let web = server();
    for chunks in [
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello!\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "-1\r\n",
        "+5\r\nhello\r\n",
        "0x5\r\nhello\r\n",
        " 5\r\nhello\r\n",
        "5 \r\nhello\r\n",
        "5_0\r\n",
        "\r\n",
        "g\r\n",
        "10000000000000000\r\n",
        "5;\r\nhello\r\n",
        "5;a=\r\nhello\r\n",
        "5;a=\"\r\nhello\r\n",
        "5;(\r\nhello\r\n",
        "5;a\rb\r\nhello\r\n",
        "5;a\nhello\r\n",
        "0\r\nName : a\r\n\r\n",
        "0\r\nno colon\r\n\r\n",
        "0\r\nA: b\r\n folded\r\n\r\n",
        "0\r\nA: b\n\n",
        "0\r\nContent-Length: 5\r\n\r\n",
        "0\r\nHost: elsewhere\r\n\r\n",
        "0\r\nTransfer-Encoding: chunked\r\n\r\n",
    ] {
        assert_status(&web, post_chunked("/", chunks), 400);
    }
    let extension = format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(5000));
    assert_status(&web, post_chunked("/", &extension), 400);
    assert_status(&web, post_chunked("/", "FFFFFFFFFFFFFFFF\r\nhello"), 413);
}

#[test]
fn chunks_are_put_together_and_extensions_and_trailers_dropped() {
    let web = server();
    for chunks in [
        "5\r\nhello\r\n0\r\n\r\n",
        "2\r\nhe\r\n003\r\nllo\r\n00\r\n\r\n",
        "5;a;b=c;d=\"e;\\\"\"\r\nhello\r\n0;f\r\n\r\n",
        "5 ; a = b\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\r\nTrailer: value\r\nOther:\r\n\r\n",
    ] {
        let seen = web.ask(post_chunked("/", chunks) + &get("/next", ""));
        assert_eq!(seen.texts(), ["POST / hello", "GET /next "], "{chunks:?}");
    }
}

#[test]
fn a_request_in_pieces_of_one_byte_is_the_same_request() {
    let web = server();
    let requests =
        get("/1", "") + &post("/2", "", "two") + &post_chunked("/3", "5\r\nthree\r\n0\r\n\r\n");
    let client = web.connect();
    for byte in requests.as_bytes() {
        client.send([*byte]);
    }
    assert_eq!(client.sees().texts(), ["GET /1 ", "POST /2 two", "POST /3 three"]);
}

#[test]
fn pipelined_requests_are_answered_in_order_also_behind_uploads() {
    let web = server();
    let mut requests = String::new();
    let mut told = Vec::new();
    for n in 0..20 {
        requests += &get(&format!("/{n}"), "");
        requests += &post(&format!("/{n}"), "", "length");
        requests += &post_chunked(&format!("/{n}"), "6\r\nchunks\r\n0\r\nA: b\r\n\r\n");
        told.extend([
            format!("GET /{n} "),
            format!("POST /{n} length"),
            format!("POST /{n} chunks"),
        ]);
    }
    assert_eq!(web.ask(requests).texts(), told);
}

#[test]
fn after_a_refusal_nothing_more_is_answered() {
    let seen = server().ask("GET / HTTP/1.1\r\n\r\n".to_owned() + &get("/hidden", ""));
    assert_eq!((seen.statuses(), seen.closed), (vec![400], true));
}

#[test]
fn answers_do_not_wait_for_the_next_request_in_the_pipeline() {
    let web = Web::serve(|request: Request, exchange: adieu::http::Exchange| async move {
        if request.url().path() == "/slow" {
            exchange.sleep(std::time::Duration::from_secs(5)).await;
        }
        Ok("hello".into())
    });
    let client = web.connect();
    client.send(get("/", "") + &get("/slow", ""));
    assert_eq!(client.sees().statuses(), [200]);
    client.send(get("/", "") + "GET / HT");
    web.pass(std::time::Duration::from_secs(5));
    assert_eq!(client.sees().statuses(), [200, 200], "half a request holds nothing up");
}

#[test]
fn one_busy_pipeline_does_not_starve_the_others() {
    let web = server();
    let (busy, other) = (web.connect(), web.connect());
    busy.stream.send(get("/", "").repeat(3000).as_bytes());
    other.stream.send(get("/", "").as_bytes());
    assert_eq!(until_answered(&web, &other).statuses(), [200]);
    assert!(busy.sees().answers.len() < 1000);
}

#[test]
fn one_busy_upload_does_not_starve_the_others() {
    let web = server();
    let (busy, other) = (web.connect(), web.connect());
    busy.stream.send(post("/", "", &"a".repeat(10_000_000)).as_bytes());
    other.stream.send(get("/", "").as_bytes());
    assert_eq!(until_answered(&web, &other).statuses(), [200]);
    assert!(busy.sees().answers.is_empty());
}

/// Runs the executor no longer than until this client has an answer.
fn until_answered(web: &Web, client: &Client<'_>) -> Seen {
    while web.rig.executor.try_tick() {
        let seen = client.sees();
        if !seen.answers.is_empty() {
            return seen;
        }
    }
    panic!("never answered")
}

#[test]
fn continue_is_sent_when_the_body_is_first_read() {
    let web = server();
    let client = web.connect();
    let request = post("/", "Expect: 100-continue\r\n", "body");
    let (head, body) = request.split_at(request.len() - 4);
    assert_eq!(client.ask(head).raw, "HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(client.ask(body).texts(), ["POST / body"]);
}

#[test]
fn continue_is_not_sent_when_the_body_is_here_or_there_is_none() {
    let web = server();
    let seen = web.ask(post("/", "Expect: 100-continue\r\n", "body"));
    assert_eq!(seen.statuses(), [200]);
    assert_eq!(web.ask(get("/", "Expect: 100-continue\r\n")).statuses(), [200]);
    assert_eq!(web.ask(post("/", "Expect: 100-continue\r\n", "")).statuses(), [200]);
}

#[test]
fn continue_is_not_sent_when_nobody_reads_and_the_connection_closes() {
    let web = Web::serve(|_: Request| async { Ok("no thanks".into()) });
    let seen = web
        .ask("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!((seen.statuses(), seen.closed), (vec![200], true));
}

#[test]
fn continue_comes_before_an_answer_that_streams_the_body_back() {
    let web =
        Web::serve(|mut request: Request| async move { Ok(Response::from(request.take_body())) });
    let client = web.connect();
    let request = post("/", "Expect: 100-continue\r\n", "body");
    let (head, body) = request.split_at(request.len() - 4);
    assert_eq!(client.ask(head).statuses()[0], 100);
    client.send(body);
    assert!(client.sees().raw.ends_with("body"));
    assert_eq!(client.ask(get("/", "")).statuses(), [200], "the connection is still good");
}

#[test]
fn an_unread_body_is_skipped_if_it_is_small() {
    let web = Web::serve(|_: Request| async { Ok("no thanks".into()) });
    let client = web.connect();
    let seen = client.ask(post("/", "", &"a".repeat(60_000)) + &get("/", ""));
    assert_eq!((seen.statuses(), seen.closed), (vec![200, 200], false));
    let chunks = "1000\r\n".to_owned() + &"a".repeat(4096) + "\r\n0\r\n\r\n";
    let seen = client.ask(post_chunked("/", &chunks) + &get("/", ""));
    assert_eq!((seen.statuses(), seen.closed), (vec![200, 200], false));
}

#[test]
fn behind_a_large_unread_body_the_connection_closes() {
    let web = Web::serve(|_: Request| async { Ok("no thanks".into()) });
    let seen = web.ask(post("/", "", &"a".repeat(100_000)));
    assert_eq!((seen.statuses(), seen.closed), (vec![200], true));
    assert!(seen.one().says_close());
    // Of chunks nobody knows before how many there will be.
    let chunks = ("1000\r\n".to_owned() + &"a".repeat(4096) + "\r\n").repeat(30);
    let seen = web.ask(post_chunked("/", &chunks));
    assert_eq!((seen.statuses(), seen.closed), (vec![200], true));
}

#[test]
fn a_malformed_body_that_nobody_reads_is_refused_or_closes_the_connection() {
    let web = Web::serve(|_: Request| async { Ok("no thanks".into()) });
    assert_status(&web, post_chunked("/", "nonsense\r\n"), 400);
    let client = web.connect();
    client.send(post_chunked("/", ""));
    client.send("nonsense\r\n".to_owned() + &get("/hidden", ""));
    let seen = client.sees();
    assert_eq!((seen.statuses(), seen.closed), (vec![200], true));
}

#[test]
fn the_drain_does_not_wait_for_a_body_that_nobody_wants() {
    let web = Web::serve(|_: Request| async { Ok("no thanks".into()) });
    let client = web.connect();
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nhello");
    assert_eq!(client.sees().statuses(), [200]);
    web.rig.signal(adieu::Signal::Term);
    web.pass(std::time::Duration::from_secs(1));
    assert!(client.is_gone());
    assert!(web.rig.report().is_graceful());
}

#[test]
fn a_handler_whose_body_goes_wrong_reads_an_error_and_the_client_the_status() {
    let failed = Rc::new(Cell::new(0));
    let seen_by_handler = failed.clone();
    let web = Web::serve(move |mut request: Request| {
        let failed = seen_by_handler.clone();
        async move {
            if request.read_to_end(&mut Vec::new()).await.is_err() {
                failed.set(failed.get() + 1);
            }
            Ok("whatever".into())
        }
    });
    assert_status(&web, post_chunked("/", "nonsense\r\n"), 400);
    assert_eq!(failed.get(), 1);
}

#[test]
fn a_client_that_half_closes_is_answered_all_the_same() {
    use futures_lite::{AsyncWriteExt, future};
    let web = server();
    let mut client = web.connect();
    client.stream.send((get("/1", "") + &post("/2", "", "two")).as_bytes());
    future::block_on(client.stream.close()).unwrap();
    web.settle();
    let seen = client.sees();
    assert_eq!(
        (seen.texts(), seen.closed),
        (vec!["GET /1 ".to_owned(), "POST /2 two".into()], true)
    );
}

#[test]
fn a_client_that_goes_away_in_the_midst_leaves_nothing_behind() {
    let web = server();
    for start in ["", "GET", "GET / HTTP/1.1\r\n", &post("/", "", "body")[..50], &get("/", "")] {
        web.ask(start);
    }
    web.pass(std::time::Duration::from_secs(1));
    web.rig.signal(adieu::Signal::Term);
    let report = web.rig.report();
    let counts = &report.service("web").unwrap().counts;
    assert_eq!((counts.accepted, counts.closed_idle, counts.drained), (5, 0, 0));
}
