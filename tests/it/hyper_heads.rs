//! The heads of answers of the `hyper` feature, as curl reads them over both versions of HTTP: what a
//! service says of framing and of the connection is put right, or the answer is given up.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use adieu::hyper::hyper::body::{Body, Bytes, Frame};
use adieu::hyper::hyper::service::service_fn;
use adieu::hyper::hyper::{Request, Response};
use adieu::hyper::{Hyper, RequestBody};
use adieu::{Listener, Supervisor};

use crate::clients;
use crate::rig::run_with;

/// Frames of a body that does not know its length, or says it.
struct Frames(Vec<&'static str>, bool);

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = (!self.0.is_empty()).then(|| self.0.remove(0));
        Poll::Ready(next.map(|text| Ok(Frame::data(Bytes::from_static(text.as_bytes())))))
    }

    fn size_hint(&self) -> adieu::hyper::hyper::body::SizeHint {
        let mut hint = adieu::hyper::hyper::body::SizeHint::default();
        if self.1 {
            hint.set_exact(self.0.iter().map(|text| text.len() as u64).sum());
        }
        hint
    }
}

async fn answer(request: Request<RequestBody>) -> Result<Response<Frames>, Infallible> {
    let answer = Response::builder();
    let known = |text| Frames(vec![text], true);
    let unknown = |text| Frames(vec![text], false);
    let answer = match request.uri().path() {
        "/hop" => answer
            .header("keep-alive", "timeout=5")
            .header("proxy-connection", "keep-alive")
            .header("te", "trailers")
            .header("transfer-encoding", "chunked")
            .header("x-kept", "yes")
            .body(known("hop")),
        "/named" => answer
            .header("connection", "x-named, close")
            .header("upgrade", "h2c")
            .header("x-named", "yes")
            .body(known("named")),
        "/wrong" => answer.header("content-length", "5").body(known("longer than five")),
        "/twice" => {
            answer.header("content-length", "5").header("content-length", "9").body(unknown("text"))
        }
        "/short" => answer.header("content-length", "5").body(unknown("four")),
        "/long" => answer.header("content-length", "5").body(unknown("longer than five")),
        "/right" => answer.header("content-length", "4").body(unknown("four")),
        "/nothing" => answer.status(204).header("content-length", "7").body(known("nothing")),
        "/unchanged" => answer.status(304).header("content-length", "7").body(known("")),
        "/reset" => answer.status(205).body(known("not to be sent")),
        "/early" => answer.status(103).body(known("")),
        "/switch" => answer.status(101).body(known("")),
        "/coded" => answer.header("transfer-encoding", "gzip").body(known("coded")),
        "/option" => answer.header("connection", "a b").body(known("option")),
        _ => answer.body(known("content")),
    };
    Ok(answer.expect("it is an answer"))
}

/// What curl says of an answer: its head, its content, and whether it came whole.
struct Told {
    head: String,
    content: String,
    whole: bool,
}

impl Told {
    /// The values of a header field.
    fn values(&self, name: &str) -> Vec<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(it, _)| it.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }
}

/// Asks for each of these, over both versions, and checks what came of it.
fn ask(paths: &[(&str, &[&str])], check: impl Fn(&str, bool, &Told)) {
    let Some(curl) = clients::tool("curl", "curl") else { return };
    let server = Hyper::bind("127.0.0.1:0", service_fn(answer)).expect("a port is free");
    let address = server.listener().address();
    let supervisor = Supervisor::new().service("web", server);
    let trigger = supervisor.trigger();
    let asking = async {
        for (path, flags) in paths {
            for version in ["--http1.1", "--http2-prior-knowledge"] {
                let mut command = std::process::Command::new(&curl);
                command.args(["-sS", "-i", "--max-time", "10", version]).args(*flags);
                command.arg(format!("http://{address}{path}"));
                let output = clients::output(command).await;
                let told = String::from_utf8(output.stdout).expect("curl writes text");
                let (head, content) = told.split_once("\r\n\r\n").unwrap_or((&told, ""));
                let told = Told {
                    head: head.to_owned(),
                    content: content.to_owned(),
                    whole: output.status.success(),
                };
                check(path, version == "--http2-prior-knowledge", &told);
            }
        }
        trigger.shut_down();
    };
    let ((), report) = run_with(supervisor, asking);
    assert!(report.is_graceful(), "{report}");
}

#[test]
fn fields_for_one_connection_are_not_the_services_to_send() {
    ask(&[("/hop", &[]), ("/named", &[])], |path, is_http2, told| {
        let Told { head, content, whole } = told;
        assert!(*whole && *content == path[1..], "{path}: {head}");
        for name in ["keep-alive", "proxy-connection", "te", "transfer-encoding"] {
            assert_eq!(told.values(name), [""; 0], "{path}: {head}");
        }
        assert_eq!(told.values("x-kept").len(), usize::from(path == "/hop"));
        assert_eq!(told.values("date").len(), 1, "{head}");
        if is_http2 {
            for name in ["connection", "upgrade", "x-named"] {
                assert_eq!(told.values(name), [""; 0], "{path}: {head}");
            }
        }
    });
}

#[test]
fn an_answer_is_as_long_as_it_says_or_does_not_look_whole() {
    let paths = ["/short", "/long", "/right", "/"];
    ask(&paths.map(|path| (path, &[][..])), |path, _, told| {
        let Told { head, content, whole } = told;
        let (is_right, lengths): (bool, &[&str]) = match path {
            "/short" | "/long" => (false, &["5"]),
            "/right" => (true, &["4"]),
            _ => (true, &["7"]),
        };
        assert_eq!(*whole, is_right, "{path}: {head}\n{content}");
        if head.is_empty() {
            return; // hyper has not written what it had of it
        }
        assert_eq!(told.values("content-length"), lengths, "{path}: {head}");
        assert!(told.values("transfer-encoding").is_empty(), "{path}: {head}");
    });
}

#[test]
fn what_a_service_says_falsely_of_an_answers_framing_costs_the_answer() {
    let paths = ["/wrong", "/twice", "/coded", "/option"];
    ask(&paths.map(|path| (path, &[][..])), |path, _, told| {
        let Told { head, content, whole } = told;
        assert!(*whole && content.is_empty() && head.contains(" 500"), "{path}: {head}");
    });
}

#[test]
fn an_answer_without_content_has_none() {
    let paths: [(&str, &[&str]); 4] =
        [("/", &["-I"]), ("/nothing", &[]), ("/unchanged", &[]), ("/reset", &[])];
    ask(&paths, |path, _, told| {
        let Told { head, content, whole } = told;
        assert!(*whole && content.is_empty(), "{path}: {head}\n{content}");
        let lengths: &[&str] = match path {
            "/nothing" => &[],
            "/reset" => &["0"],
            "/unchanged" => return, // it may say so, or not
            _ => &["7"],
        };
        assert_eq!(told.values("content-length"), lengths, "{path}: {head}");
    });
}

#[test]
fn a_status_that_is_no_answer_becomes_500() {
    ask(&[("/early", &[]), ("/switch", &[])], |path, is_http2, told| {
        let Told { head, .. } = told;
        assert!(head.contains(" 500"), "{path}, {is_http2}: {head}");
    });
}
