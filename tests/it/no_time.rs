//! No time at all, over the system's sockets: a grace period of zero, and SIGQUIT. What needs no waiting still
//! ends well, on every engine.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use adieu::{Connection, Protocol, Server, Signal, SocketListener, SocketStream, Supervisor, Tcp};
use futures_lite::{AsyncWriteExt, future};

use crate::clients;
use crate::rig::GET;

/// How often each case is tried: what is lost in a race is not lost each time.
const ROUNDS: usize = 5;

/// What one engine serves: it adds a server on this listener, and says what its clients do.
struct Engine {
    name: &'static str,
    add: fn(Supervisor, SocketListener) -> Supervisor,
    /// A request, and how its answer begins; none for an engine whose clients here only connect.
    request: Option<(&'static [u8], &'static str)>,
    /// What a client says that has no request.
    greeting: Option<&'static [u8]>,
}

fn serve<P: Protocol<SocketStream>>(s: Supervisor, listener: SocketListener, p: P) -> Supervisor {
    s.service("web", Server::new(listener, p))
}

fn engines() -> Vec<Engine> {
    vec![
        Engine {
            name: "Tcp",
            add: |s, listener| {
                let echo = async |stream: &mut SocketStream, connection: &Connection| {
                    let mut bytes = Vec::new();
                    while connection.read(stream, &mut bytes).await? > 0 {
                        stream.write_all(&std::mem::take(&mut bytes)).await?;
                    }
                    Ok(())
                };
                serve(s, listener, Tcp::new(echo))
            },
            request: Some((GET, "GET / HTTP/1.1")),
            greeting: None,
        },
        #[cfg(feature = "http")]
        Engine {
            name: "Http",
            add: |s, listener| serve(s, listener, adieu::Http::new(hello)),
            request: Some((GET, "HTTP/1.1 200 OK")),
            greeting: None,
        },
        #[cfg(feature = "admin")]
        Engine {
            name: "Admin",
            add: |s, listener| s.next_stage().service("admin", adieu::Admin::new(listener)),
            request: Some((GET, "HTTP/1.1 200 OK")),
            greeting: None,
        },
        #[cfg(feature = "hyper")]
        Engine {
            name: "Hyper, HTTP/1.1",
            add: |s, listener| serve(s, listener, hyper()),
            request: Some((GET, "HTTP/1.1 200 OK")),
            greeting: None,
        },
        #[cfg(feature = "hyper")]
        Engine {
            name: "Hyper, HTTP/2",
            add: |s, listener| serve(s, listener, hyper()),
            request: None,
            greeting: Some(PREFACE),
        },
        #[cfg(feature = "grpc")]
        Engine {
            name: "Grpc",
            add: |s, listener| serve(s, listener, adieu::Hyper::new(adieu::Grpc::new())),
            request: None,
            greeting: Some(PREFACE),
        },
    ]
}

/// HTTP/2: the preface and empty SETTINGS.
#[cfg(feature = "hyper")]
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

#[cfg(feature = "http")]
async fn hello(
    _: adieu::http::http_types::Request,
) -> adieu::http::http_types::Result<adieu::http::http_types::Response> {
    Ok("hello".into())
}

#[cfg(feature = "hyper")]
fn hyper() -> adieu::Hyper<
    impl adieu::hyper::hyper::service::Service<
        adieu::hyper::hyper::Request<adieu::hyper::RequestBody>,
        Response = adieu::hyper::hyper::Response<String>,
        Error = std::convert::Infallible,
        Future: 'static,
    > + 'static,
> {
    adieu::Hyper::new(adieu::hyper::hyper::service::service_fn(async |_| {
        Ok(adieu::hyper::hyper::Response::new("hello".to_owned()))
    }))
}

/// Where the clients of a listener find it.
#[derive(Clone)]
enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// A client that blocks, with a limit.
trait Client: Read + Write + Send {
    fn end(&self);
}

impl Client for TcpStream {
    fn end(&self) {
        let _ = self.shutdown(Shutdown::Write);
    }
}

impl Client for UnixStream {
    fn end(&self) {
        let _ = self.shutdown(Shutdown::Write);
    }
}

impl Place {
    fn listener(unix: bool) -> (SocketListener, Place) {
        let path = std::env::temp_dir().join(format!("adieu-{}-no-time", std::process::id()));
        let address = if unix { format!("unix:{}", path.display()) } else { "127.0.0.1:0".into() };
        let listener = SocketListener::bind(&address).expect("it is free");
        let place = listener.local_addr().map_or(Place::Unix(path), Place::Tcp);
        (listener, place)
    }

    fn connect(&self) -> Box<dyn Client> {
        let limit = Some(Duration::from_secs(20));
        match self {
            Place::Tcp(address) => {
                let stream = TcpStream::connect(address).expect("it listens");
                stream.set_read_timeout(limit).unwrap();
                Box::new(stream)
            }
            Place::Unix(path) => {
                let stream = UnixStream::connect(path).expect("it listens");
                stream.set_read_timeout(limit).unwrap();
                Box::new(stream)
            }
        }
    }

    fn say(&self, bytes: &[u8]) -> Box<dyn Client> {
        let mut client = self.connect();
        client.write_all(bytes).unwrap();
        client
    }
}

/// Waits for something to be said, in a thread of its own so that the server can say it.
async fn hears(mut client: Box<dyn Client>) -> Box<dyn Client> {
    clients::on_a_thread(move || {
        client.read_exact(&mut [0]).expect("the server says something");
        client
    })
    .await
}

#[test]
fn whoever_has_nothing_in_flight_ends_well_with_no_time_at_all() {
    for engine in engines() {
        for (unix, grace, signal) in [
            (false, Duration::ZERO, Signal::Term),
            (false, adieu::GRACE, Signal::Quit),
            (true, Duration::ZERO, Signal::Term),
            (true, adieu::GRACE, Signal::Quit),
        ] {
            for _ in 0..ROUNDS {
                try_out(&engine, unix, grace, signal);
            }
        }
    }
}

fn try_out(engine: &Engine, unix: bool, grace: Duration, signal: Signal) {
    let (listener, place) = Place::listener(unix);
    let (signals, received) = async_channel::unbounded();
    let until_told = async |cx: adieu::Context| {
        cx.shutdown().begun().await;
        std::io::Result::Ok(())
    };
    let supervisor = Supervisor::new().grace(grace).service("other", until_told);
    let run = (engine.add)(supervisor, listener).run(received);
    let request = engine.request.map(|(request, _)| request);
    let clients = async {
        let silent = place.connect();
        let mut idle = Vec::new();
        for words in request.into_iter().chain(engine.greeting) {
            idle.push(hears(place.say(words)).await);
        }
        // From here on the server has no turn: these are in its accept queue when the signal comes.
        let queued = request.map(|request| place.say(request));
        let silent_too = place.connect();
        signals.try_send(signal).unwrap();
        (silent, silent_too, idle, queued)
    };
    let ((silent, silent_too, idle, queued), report) = smol::block_on(future::zip(clients, run));
    let report = report.unwrap();
    let case = format!("{}, unix: {unix}, {signal:?}", engine.name);
    assert!(report.is_graceful() && report.exit_status() == 0, "{case}: {report}");
    assert!(report.took < Duration::from_secs(1), "{case}: {report}");
    if let (Some(mut client), Some((_, begins))) = (queued, engine.request) {
        client.end();
        let mut answer = String::new();
        client.read_to_string(&mut answer).expect("an answer, and its end");
        assert!(answer.starts_with(begins), "{case}: {answer:?}");
    }
    drop((silent, silent_too, idle));
}
