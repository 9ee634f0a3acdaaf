//! Answers of `Hyper` over real TCP, as `ends.rs` has them for the other engines.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use adieu::hyper::hyper::body::{Body, Bytes, Frame, SizeHint};
use adieu::hyper::hyper::service::service_fn;
use adieu::hyper::hyper::{Request, Response};
use adieu::hyper::{Hyper, RequestBody};

use crate::ends::{Client, End, HALF, SECOND, SLOW, Then, judge, reads_slowly, sees_half, serve};
use crate::reader::answers;
use crate::web::get;

const PIECE: usize = 1_000_000;

/// So many bytes, in pieces; it tells its length if it is `known`.
struct Pieces {
    left: usize,
    known: bool,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let piece = self.left.min(PIECE);
        self.left -= piece;
        Poll::Ready((piece > 0).then(|| Ok(Frame::data(vec![b'.'; piece].into()))))
    }

    fn size_hint(&self) -> SizeHint {
        match self.known {
            true => SizeHint::with_exact(self.left as u64),
            false => SizeHint::default(),
        }
    }
}

#[test]
fn a_slow_reader_of_hyper_has_the_whole_answer_or_is_named() {
    for slow @ (size, takes, signals) in SLOW {
        for known in [false, true] {
            let hyper = Hyper::new(service_fn(move |_: Request<RequestBody>| async move {
                Ok::<_, io::Error>(Response::new(Pieces { left: size, known }))
            }));
            let request = get("/", "Connection: close\r\n");
            let ((taken, end), report) = serve(hyper, async |client: Client| {
                reads_slowly(client, &request, size, Duration::from_secs(takes), signals).await
            });
            let answer = &answers(&taken, |_| false).expect("well-formed")[0];
            let whole = answer.complete && answer.body.len() == size && end == End::Clean;
            judge(whole, &report, slow);
        }
    }
}

#[test]
fn a_reader_of_hyper_that_takes_nothing_for_the_limit_is_cut_off() {
    const SIZE: usize = 20_000_000;
    let hyper = Hyper::new(service_fn(|_: Request<RequestBody>| async {
        Ok::<_, io::Error>(Response::new(Pieces { left: SIZE, known: false }))
    }));
    let (taken, report) = serve(hyper, async |mut client: Client| {
        client.send(&get("/", "")).await;
        let mut taken = Vec::new();
        assert_eq!(client.takes(1000, &mut taken).await, None);
        // The first limit may find that some bytes have come on to the client's system.
        client.pass(31 * SECOND).await;
        client.pass(31 * SECOND).await;
        assert!(client.takes(SIZE, &mut taken).await.is_some(), "it was not cut off");
        taken
    });
    assert!(!answers(&taken, |_| false).expect("well-formed")[0].complete);
    assert!(report.is_graceful());
}

/// A body that does so after its first half. It waits a little between, so that the half leaves alone.
struct Halved {
    then: Then,
    said: u8,
}

impl Body for Halved {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.said += 1;
        match self.said {
            1 => Poll::Ready(Some(Ok(Frame::data(HALF.into())))),
            2 => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            _ => {
                Poll::Ready(ready!(self.then.poll()).map(|_| None).unwrap_or_else(|e| Some(Err(e))))
            }
        }
    }
}

#[test]
fn an_http_1_0_answer_of_hyper_that_is_cut_is_reset() {
    for then in [Then::Waits, Then::Fails, Then::Panics, Then::Ends] {
        let hyper = Hyper::new(service_fn(move |_: Request<RequestBody>| async move {
            Ok::<_, io::Error>(Response::new(Halved { then, said: 0 }))
        }));
        let ((taken, end), report) = serve(hyper, async |client: Client| {
            sees_half(client, "GET / HTTP/1.0\r\n\r\n", then).await
        });
        let expected = if then == Then::Ends { End::Clean } else { End::Reset };
        assert_eq!(end, Some(expected), "{then:?}: {}", taken.escape_ascii());
        assert_eq!(report.is_graceful(), then != Then::Waits, "{then:?}: {report}");
    }
}
