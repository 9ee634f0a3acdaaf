//! The drain as a picture.

use std::future::pending;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use adieu::http::Exchange;
use adieu::http::Http;
use adieu::http::http_types::{Request, Response, Result};
use adieu::testing::{MemoryStream, Network, memory, settle};
use adieu::{Connection, Report, Server, Signal, Tcp};

use crate::directory::Directory;
use crate::rig::{self, Rig};
use crate::{bound, tools};

/// Takes as many milliseconds as the path says.
async fn handler(request: Request, exchange: Exchange) -> Result<Response> {
    let millis = request.url().path().trim_start_matches('/').parse().unwrap_or(0);
    exchange.sleep(Duration::from_millis(millis)).await;
    Ok("hello".into())
}

/// A drain in which connections were busy for so many milliseconds, and the others idle.
fn drained(busy: &[u64], idle: usize, grace: Duration) -> Report {
    let (listener, network) = memory();
    let server = Server::new(listener, Http::new(handler));
    let rig = Rig::start(|s| s.service("web", server).grace(grace));
    let client = |bytes: &[u8]| -> MemoryStream {
        let client = Network::connect(&network).unwrap();
        client.send(bytes);
        client
    };
    let get = |millis: u64| format!("GET /{millis} HTTP/1.1\r\nHost: test\r\n\r\n");
    let idle: Vec<_> = (0..idle).map(|_| client(b"")).collect();
    let busy: Vec<_> = busy.iter().map(|millis| client(get(*millis).as_bytes())).collect();
    settle(&rig.executor);
    rig.pass(Duration::from_millis(500));
    // One more waits in the accept queue.
    rig.send(Signal::Term);
    let late = client(get(300).as_bytes());
    settle(&rig.executor);
    rig.pass(grace);
    drop((idle, busy, late));
    rig.report()
}

/// Keeps the picture where somebody can look at it: in the directory named by this variable.
fn keep(name: &str, svg: &str) {
    if let Some(directory) = std::env::var_os("ADIEU_PICTURES") {
        std::fs::write(std::path::Path::new(&directory).join(name), svg)
            .expect("it can be written");
    }
}

#[test]
fn each_connection_is_a_bar_that_tells_what_became_of_it() {
    let svg = drained(&[1200, 2500, 60_000], 2, Duration::from_secs(3)).timeline();
    keep("few.svg", &svg);
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    assert!(svg.contains("shut down by SIGTERM in 3.0 s: 3 drained, 2 closed idle, 1 cut off"));
    for label in ["client 1 new<", "client 3 active<", "client 6 later<", "deadline<"] {
        assert!(svg.contains(label), "{label}: {svg}");
    }
    assert!(svg.contains("client 5 active, cut off, GET /60000<"), "{svg}");
}

#[test]
fn a_hundred_connections_are_a_hundred_bars() {
    let busy: Vec<u64> = (0..79).map(|i| 600 + i * 37).collect();
    let svg = drained(&busy, 20, Duration::from_secs(4)).timeline();
    keep("hundred.svg", &svg);
    assert_eq!(svg.matches(">client ").count(), 100);
}

#[test]
fn thousands_of_connections_are_folded_into_a_hundred_bars_at_most() {
    let busy: Vec<u64> = (0..2000).map(|i| 600 + i * i % 4001).collect();
    let svg = drained(&busy, 3000, Duration::from_secs(4)).timeline();
    keep("thousands.svg", &svg);
    assert!(svg.contains("web: 5001 connections<"), "{svg}");
    assert!(svg.contains(">3000 idle<"), "{svg}");
    assert!(svg.matches("font-size=\"11\"").count() < 130);
    assert!(svg.len() < 60_000, "{} bytes", svg.len());
}

#[test]
fn a_drain_with_nothing_to_do_is_drawn_too() {
    let rig =
        Rig::start(|s| s.service("a <b> & c", |_cx| std::future::pending::<std::io::Result<()>>()));
    rig.signal(Signal::Int);
    rig.pass(Duration::from_secs(10));
    let svg = rig.report().timeline();
    keep("nothing.svg", &svg);
    assert!(svg.contains("a &lt;b&gt; &amp; c: 0 connections<"), "{svg}");
}

/// The picture of a drain in which the service and the request that was cut off have this name.
fn named(name: &str) -> String {
    let request = Arc::new(name.to_owned());
    let handler = async move |_: &mut MemoryStream, connection: &Connection| {
        connection.set_request(request.clone());
        pending().await
    };
    let (rig, network) = rig::serve(name, Tcp::new(handler));
    let _client = rig::connect(&rig, &network);
    rig.signal(Signal::Term);
    rig.pass(Duration::from_secs(10));
    rig.report().timeline()
}

/// What keeps this from being an XML document of elements, attributes and text, if anything does.
fn fault(document: &str) -> Option<String> {
    // XML 1.0, 2.2; and no control characters, though it allows those from U+007F to U+009F.
    let is_char = |c: char| c == '\n' || !c.is_control() && c as u32 & 0xfffe != 0xfffe;
    if let Some(c) = document.chars().find(|c| !is_char(*c)) {
        return Some(format!("{c:?} is no character of XML"));
    }
    let mut open = Vec::new();
    for part in document.split('<').skip(1) {
        let Some((tag, text)) = part.split_once('>') else {
            return Some(format!("<{part:?} has no end"));
        };
        let name = tag.trim_end_matches('/').split(' ').next().unwrap_or_default();
        match name.strip_prefix('/') {
            Some(closed) if open.pop() != Some(closed) => return Some(format!("<{tag}>")),
            None if !tag.ends_with('/') => open.push(name),
            _ => {}
        }
        if !(tag.contains('=') || tag.starts_with('/')) || tag.matches('"').count() % 2 == 1 {
            return Some(format!("<{tag}> has no attributes, or a torn one"));
        }
        let references = text.split('&').skip(1);
        let is_known = |rest: &&str| ["amp;", "lt;", "gt;"].iter().any(|it| rest.starts_with(it));
        if let Some(rest) = references.into_iter().find(|rest| !is_known(rest)) {
            return Some(format!("&{rest}"));
        }
    }
    (!open.is_empty()).then(|| format!("{open:?} are not closed"))
}

#[test]
fn whatever_a_name_holds_the_picture_is_well_formed_xml() {
    let all = (0..=0x2fff).chain(0xd7ff..=0x10ffff).filter_map(char::from_u32);
    let every_kind = [
        "\0\t\r\n\x1b[31m\x7f\u{80}\u{85}\u{9b}\u{9f}",
        "\u{fffe}\u{ffff}\u{fdd0}\u{1ffff}\u{10ffff}",
        "\u{202e}\u{2066}\u{feff}\u{d7ff}\u{e000}",
        "]]>&#xD800;&#0;&bogus;<script>\"'--><![CDATA[",
        "\\u{d800}\\xed\\xa0\\x80",
    ];
    let everything: String = all.collect();
    let pictures = every_kind.into_iter().chain([everything.as_str()]).map(named);
    let pictures: Vec<_> = pictures.collect();
    for picture in &pictures {
        assert_eq!(fault(picture), None);
    }
    expat_reads(&pictures);
    let svg = named("früh & spät, \"東京\"\n");
    assert!(svg.contains(">früh &amp; spät, \"東京\"\\n: 1 connections<"), "{svg}");
    assert!(fault("<a b=\"\">&bogus;</a>").is_some() && fault("<a b=\"\">\u{1}</a>").is_some());
}

/// Has a parser that is not ours read the documents.
fn expat_reads(documents: &[String]) {
    let Some(python) = tools::python(&["xml.parsers.expat"], "expat") else { return };
    let script = "import sys, xml.parsers.expat as expat
for file in sys.argv[1:]: expat.ParserCreate().ParseFile(open(file, 'rb'))";
    let mut command = Command::new(python);
    command.args(["-c", script]);
    let directory = Directory::new("expat");
    for (number, document) in documents.iter().enumerate() {
        let file = directory.file(&number.to_string());
        std::fs::write(&file, document).expect("there is room");
        command.arg(file);
    }
    let read = bound::output(&mut command).expect("it was there before");
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
}
