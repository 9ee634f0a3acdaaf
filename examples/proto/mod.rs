//! A gRPC service for the examples and the tests: it says what it is told.

#[rustfmt::skip]
#[allow(missing_docs, clippy::all, unused_qualifications)]
mod echo;

use std::pin::Pin;
use std::time::Duration;

use futures_lite::{Stream, StreamExt, stream};
use smol::Timer;
use tonic::{Request, Response, Status, Streaming};

pub use echo::Words;
pub use echo::echo_server::EchoServer;

/// tonic's services are `Send`, though all of this runs on one thread.
pub struct Echo;

type Answers = Pin<Box<dyn Stream<Item = Result<Words, Status>> + Send>>;

async fn pause(words: &Words) {
    if words.pause_ms > 0 {
        Timer::after(Duration::from_millis(words.pause_ms.into())).await;
    }
}

#[tonic::async_trait]
impl echo::echo_server::Echo for Echo {
    async fn say(&self, request: Request<Words>) -> Result<Response<Words>, Status> {
        let words = request.into_inner();
        assert_ne!(words.text, "panic", "it was asked to");
        pause(&words).await;
        Ok(Response::new(words))
    }

    type RepeatStream = Answers;

    async fn repeat(&self, request: Request<Words>) -> Result<Response<Answers>, Status> {
        let words = request.into_inner();
        let again = stream::iter(0..words.times).then(move |_| {
            let words = words.clone();
            async move {
                pause(&words).await;
                Ok(words)
            }
        });
        Ok(Response::new(Box::pin(again)))
    }

    async fn gather(&self, request: Request<Streaming<Words>>) -> Result<Response<Words>, Status> {
        let mut said = request.into_inner();
        let mut all = Words::default();
        while let Some(words) = said.message().await? {
            all.text += &words.text;
            all.times += 1;
        }
        Ok(Response::new(all))
    }

    type ConverseStream = Answers;

    async fn converse(
        &self,
        request: Request<Streaming<Words>>,
    ) -> Result<Response<Answers>, Status> {
        let answers = request.into_inner().then(|words: Result<Words, Status>| async {
            let words = words?;
            pause(&words).await;
            Ok(words)
        });
        Ok(Response::new(Box::pin(answers)))
    }
}
