//! Behind a balancer that sends PROXY headers.

use std::cell::RefCell;
use std::io;
use std::mem::take;
use std::rc::Rc;
use std::time::Duration;

use adieu::proxy_parts::{Header, MAX, parse};
use adieu::testing::{MemoryStream, Rig};
use adieu::{
    Connection, Counts, Protocol, ProxyProtocol, Report, Server, Signal, State, Stream, Supervisor,
    Tcp, TcpListener, TrustedPeers, UnixListener,
};
use futures_lite::{AsyncReadExt, AsyncWriteExt};

use crate::directory::Directory;
use crate::proxy_headers::{IPV4, IPV6, V1, malformed, v2, well_formed};
use crate::rig;

/// In memory everybody is a client of the same machine.
fn trusted() -> TrustedPeers {
    "unix".parse().unwrap()
}

fn serve(protocol: impl Protocol<MemoryStream>) -> Rig {
    Rig::serve("web", ProxyProtocol::new(trusted(), protocol))
}

/// Says whose the connection is, then echoes.
async fn tell<S: Stream>(stream: &mut S, connection: &Connection) -> io::Result<()> {
    let mut bytes = format!("{}: ", connection.peer()).into_bytes();
    stream.write_all(&take(&mut bytes)).await?;
    while connection.read(stream, &mut bytes).await? > 0 {
        stream.write_all(&take(&mut bytes)).await?;
    }
    Ok(())
}

fn counts(report: &Report) -> &Counts {
    &report.service("web").unwrap().counts
}

/// The counts of a run that ends now.
fn end(rig: Rig) -> Counts {
    rig.signal(Signal::Term);
    rig.pass(Duration::from_secs(3));
    let report = rig.report();
    assert!(report.is_graceful(), "{report}");
    counts(&report).clone()
}

// ---------------------------------------------------------------- the header

#[test]
fn a_header_is_read_to_its_last_byte_and_no_further() {
    for (header, client) in well_formed() {
        let (mut read, mut steps) = (0, 0);
        let told = loop {
            match parse(&header[..read]).unwrap() {
                Header::Missing(more) => {
                    assert!(more > 0 && read + more <= header.len(), "{}", header.escape_ascii());
                    read += more;
                    steps += 1;
                }
                Header::Whole(client) => break client,
            }
        };
        assert_eq!(read, header.len());
        assert!(steps <= 47, "{steps} reads of {}", header.escape_ascii());
        let told = told.map(|address| adieu::Peer::Tcp(address).to_string());
        assert_eq!(told.as_deref(), client, "{}", header.escape_ascii());
        assert!(header.len() <= MAX);
    }
}

#[test]
fn the_headers_that_balancers_send_take_few_reads() {
    let reads = |header: &[u8]| {
        let (mut read, mut reads) = (0, 0);
        while let Header::Missing(more) = parse(&header[..read]).unwrap() {
            read += more;
            reads += 1;
        }
        reads
    };
    for family in [(0x11, IPV4), (0x21, IPV6)] {
        assert_eq!(reads(&v2(0x21, family.0, family.1)), 2);
    }
    assert!(reads(V1.as_bytes()) <= 8);
    assert!(
        reads(b"PROXY TCP6 2001:db8:aaaa:bbbb:cccc:dddd:eeee:7 2001:db8::1 50312 443\r\n") <= 12
    );
}

#[test]
fn however_a_header_is_cut_the_client_is_named_and_no_byte_behind_it_is_lost() {
    for (header, client) in well_formed() {
        // Of the long ones that are all alike in their midst, not every cut.
        let step = if header.len() > 300 { 97 } else { 1 };
        let rig = serve(Tcp::new(tell));
        let told = |number: usize| match client {
            Some(client) => format!("{client}: hello"),
            None => format!("client {number}: hello"),
        };
        let cuts = (0..=header.len()).step_by(step);
        for (number, cut) in cuts.clone().enumerate() {
            let balancer = rig.ask(&header[..cut]);
            balancer.send(&header[cut..]);
            balancer.send(b"hel");
            rig.settle();
            balancer.send(b"lo");
            rig.settle();
            assert_eq!(balancer.text(), told(number + 1), "{} at {cut}", header.escape_ascii());
        }
        assert_eq!(end(rig).refused, 0);
    }
}

#[test]
fn a_header_that_comes_byte_by_byte_is_taken() {
    for (header, client) in well_formed() {
        let rig = serve(Tcp::new(tell));
        let balancer = rig.connect();
        for byte in header {
            balancer.send(&[byte]);
            rig.settle();
        }
        assert_eq!(balancer.text(), format!("{}: ", client.unwrap_or("client 1")));
    }
}

#[test]
fn what_is_no_header_is_refused_and_nobody_is_served() {
    let served = Rc::new(RefCell::new(0));
    for (header, why) in malformed() {
        let seen = served.clone();
        let rig = serve(Tcp::new(async move |_: &mut MemoryStream, _: &Connection| {
            *seen.borrow_mut() += 1;
            Ok(())
        }));
        for at_once in [true, false] {
            let balancer = rig.connect();
            for piece in header.chunks(if at_once { header.len() } else { 1 }) {
                if !balancer.is_gone() {
                    balancer.send(piece);
                    rig.settle();
                }
            }
            assert!(balancer.is_gone() && balancer.text().is_empty(), "{}", header.escape_ascii());
        }
        let told = (1..=header.len()).find_map(|end| parse(&header[..end]).err());
        assert!(told.is_some_and(|told| told.contains(why)), "{told:?} is not {why}");
        let counts = end(rig);
        assert_eq!((counts.accepted, counts.refused), (2, 2), "{}", header.escape_ascii());
    }
    assert_eq!(*served.borrow(), 0);
}

#[test]
fn a_header_that_ends_early_is_refused_and_a_close_without_a_byte_is_not() {
    for (header, _) in well_formed() {
        for cut in [0, 1, 14, header.len() - 1] {
            let rig = serve(Tcp::new(tell));
            let balancer = rig.ask(&header[..cut]);
            balancer.half_close().unwrap();
            rig.settle();
            assert!(balancer.is_gone() && balancer.text().is_empty());
            assert_eq!(end(rig).refused, u64::from(cut > 0), "{} at {cut}", header.escape_ascii());
        }
    }
}

#[test]
fn who_is_not_trusted_is_refused_whatever_it_sends() {
    let sent = [b"".to_vec(), rig::GET.to_vec(), V1.into(), v2(0x21, 0x11, IPV4), v2(0x20, 0, b"")];
    for bytes in sent {
        let nobody = "10.0.0.0/8".parse().unwrap();
        let rig = Rig::serve("web", ProxyProtocol::new(nobody, Tcp::new(tell)));
        let stranger = rig.network.connect().unwrap();
        stranger.send(&bytes);
        rig.settle();
        assert!(stranger.is_gone() && stranger.text().is_empty());
        let counts = end(rig);
        assert_eq!((counts.accepted, counts.refused, counts.received), (1, 1, 0));
    }
}

// ---------------------------------------------------------------- time and drain

#[test]
fn a_header_has_ten_seconds_from_accept_on() {
    for sent in ["", "P", "PROXY TCP4 192.0.2.7 198.51.100.1 50312 443\r"] {
        let rig = serve(Tcp::new(tell));
        let balancer = rig.connect();
        rig.pass(Duration::from_secs(4));
        balancer.send(sent.as_bytes());
        rig.pass(Duration::from_millis(5_900));
        assert!(!balancer.is_gone(), "{sent}");
        rig.pass(Duration::from_millis(200));
        assert!(balancer.is_gone() && balancer.text().is_empty(), "{sent}");
        assert_eq!(end(rig).refused, 1, "{sent}");
    }
}

#[test]
fn a_header_that_drips_has_no_more_time_than_any() {
    let rig = serve(Tcp::new(tell));
    let balancer = rig.connect();
    for byte in V1.as_bytes() {
        if !balancer.is_gone() {
            balancer.send(&[*byte]);
        }
        rig.pass(Duration::from_secs(1));
    }
    assert!(balancer.is_gone());
    assert_eq!(end(rig).refused, 1);
}

#[test]
fn its_time_can_be_set_and_ends_with_it() {
    let proxy = ProxyProtocol::new(trusted(), Tcp::new(tell)).header_time(Duration::from_secs(3));
    let rig = Rig::serve("web", proxy);
    let (slow, quick) = (rig.connect(), rig.ask(V1.as_bytes()));
    rig.pass(Duration::from_millis(3_100));
    assert!(slow.is_gone());
    rig.pass(Duration::from_secs(100));
    assert!(!quick.is_gone(), "the limit is the header's alone");
    assert_eq!(end(rig).refused, 1);
}

#[test]
fn a_connection_without_a_byte_is_closed_by_the_drain_after_the_moment_of_newcomers() {
    let rig = serve(Tcp::new(tell));
    let old = rig.connect();
    rig.pass(Duration::from_secs(1));
    let (fresh, quick) = (rig.connect(), rig.connect());
    rig.signal(Signal::Term);
    assert!(old.is_gone() && !fresh.is_gone());
    quick.send(V1.as_bytes());
    quick.send(b"hello");
    rig.settle();
    assert_eq!(quick.text(), "192.0.2.7:50312: hello");
    drop(quick);
    rig.pass(Duration::from_millis(50));
    assert!(fresh.is_gone());
    let report = rig.report();
    let counts = counts(&report);
    assert_eq!((counts.refused, counts.closed_idle, counts.drained), (0, 2, 1), "{report}");
}

#[test]
fn half_a_header_gets_two_seconds_more() {
    let rig = serve(Tcp::new(tell));
    let [slow, in_time] = [rig.ask(b"PROXY TCP4 "), rig.ask(b"PROXY TCP4 ")];
    rig.signal(Signal::Term);
    rig.pass(Duration::from_millis(1_900));
    assert!(!slow.is_gone());
    in_time.send(b"192.0.2.7 198.51.100.1 50312 443\r\nhello");
    rig.settle();
    assert_eq!(in_time.text(), "192.0.2.7:50312: hello");
    drop(in_time);
    rig.pass(Duration::from_millis(200));
    assert!(slow.is_gone() && slow.text().is_empty());
    let report = rig.report();
    assert!(report.is_graceful(), "{report}");
    assert_eq!((counts(&report).refused, counts(&report).drained), (1, 2));
}

#[test]
fn a_header_that_has_arrived_when_shutdown_begins_is_taken_and_so_is_what_stands_behind_it() {
    let rig = serve(Tcp::new(tell));
    let known = rig.connect();
    let queued = rig.network.connect().unwrap();
    for balancer in [&known, &queued] {
        balancer.send(&v2(0x21, 0x21, IPV6));
        balancer.send(b"hello");
    }
    rig.signal(Signal::Term);
    for balancer in [&known, &queued] {
        assert_eq!(balancer.text(), "[2001:db8::7]:50312: hello");
        assert!(balancer.is_closed());
    }
}

#[test]
fn a_straggler_is_named_by_the_clients_address_and_half_a_header_by_the_balancers() {
    let rig =
        serve(Tcp::new(async |_: &mut MemoryStream, _: &Connection| std::future::pending().await));
    let _balancers = [rig.ask(&v2(0x21, 0x11, IPV4)), rig.ask(b"\r\n\r\n\0")];
    rig.signal(Signal::Quit);
    let report = rig.report();
    let named = report.stragglers.iter().filter_map(|it| it.connection.as_ref());
    let named: Vec<_> = named.map(|it| (it.peer.to_string(), it.state)).collect();
    assert_eq!(
        named,
        [("192.0.2.7:50312".to_owned(), State::Upgraded), ("client 2".to_owned(), State::Head)]
    );
    assert_eq!(counts(&report).cut_off, 2);
}

// ---------------------------------------------------------------- limits per client

fn limited(most: usize) -> Rig {
    Rig::serve_with(|supervisor, listener| {
        let proxy = ProxyProtocol::new(trusted(), Tcp::new(tell));
        supervisor.service("web", Server::new(listener, proxy).max_connections_per_peer(most))
    })
}

/// A connection that the one balancer passes on.
fn passed_on(rig: &Rig, header: &[u8]) -> MemoryStream {
    let balancer = rig.network.connect_as(1).unwrap();
    balancer.send(header);
    rig.settle();
    balancer
}

#[test]
fn the_limit_per_peer_counts_clients_and_not_their_balancer() {
    let rig = limited(2);
    let (one, other) = (v2(0x21, 0x11, IPV4), v2(0x21, 0x21, IPV6));
    let mut ones: Vec<_> = (0..2).map(|_| passed_on(&rig, &one)).collect();
    let others: Vec<_> = (0..2).map(|_| passed_on(&rig, &other)).collect();
    let waiting: Vec<_> = (0..5).map(|_| passed_on(&rig, b"PROXY ")).collect();
    assert!(ones.iter().chain(&others).chain(&waiting).all(|balancer| !balancer.is_gone()));
    let refused = passed_on(&rig, V1.as_bytes());
    assert!(refused.is_gone() && refused.text().is_empty());
    ones.pop();
    rig.settle();
    assert_eq!(passed_on(&rig, &one).text(), "192.0.2.7:50312: ", "a place is free again");
    drop(waiting);
    rig.settle();
    let counts = end(rig);
    assert_eq!((counts.accepted, counts.refused), (11, 1 + 5), "half a header is refused as well");
}

#[test]
fn whom_no_header_names_is_not_limited() {
    let rig = limited(1);
    let headers = [b"PROXY UNKNOWN\r\n".to_vec(), v2(0x20, 0x11, IPV4), v2(0x21, 0x31, &[0; 216])];
    let balancers: Vec<_> =
        headers.iter().cycle().take(9).map(|header| passed_on(&rig, header)).collect();
    assert!(balancers.iter().all(|balancer| balancer.text() == "client 1: "));
    assert_eq!(end(rig).refused, 0);
}

/// Learns the client from the first byte.
struct OneByte {
    says_so: bool,
}

impl<S: Stream> Protocol<S> for OneByte {
    async fn serve(self: Rc<Self>, mut stream: S, connection: Connection) -> io::Result<()> {
        let mut byte = [0];
        stream.read_exact(&mut byte).await?;
        connection.set_peer(adieu::Peer::Memory(byte[0].into()))?;
        stream.write_all(connection.peer().to_string().as_bytes()).await?;
        std::future::pending().await
    }

    fn learns_peer(&self) -> bool {
        self.says_so
    }
}

#[test]
fn any_protocol_may_learn_whose_its_connections_are() {
    for says_so in [true, false] {
        let rig = Rig::serve_with(|supervisor, listener| {
            let server = Server::new(listener, OneByte { says_so });
            supervisor.service("web", server.max_connections_per_peer(1))
        });
        let first = passed_on(&rig, b"A");
        assert_eq!(first.text(), "client 65");
        // Its place as one of the balancer's is free again.
        let second = passed_on(&rig, b"B");
        assert_eq!(second.text(), "client 66");
        let refused = passed_on(&rig, b"A");
        assert!(refused.is_gone() && refused.text().is_empty());
        let both = [rig.network.connect_as(9).unwrap(), rig.network.connect_as(9).unwrap()];
        rig.settle();
        assert_eq!(both[1].is_gone(), !says_so, "a balancer that does not say so is counted");
    }
}

// ---------------------------------------------------------------- real sockets

/// What comes back over a TCP connection from 127.0.0.1.
fn over_tcp(trusted: &str, sent: &'static [u8]) -> (io::Result<String>, Report) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr();
    let proxy = ProxyProtocol::new(trusted.parse().unwrap(), Tcp::new(tell));
    let supervisor = Supervisor::new().service("web", Server::new(listener, proxy));
    let trigger = supervisor.trigger();
    rig::run_with(supervisor, async move {
        let _ended = adieu_trigger(trigger);
        let mut stream = smol::net::TcpStream::connect(address).await?;
        stream.write_all(sent).await?;
        stream.shutdown(std::net::Shutdown::Write)?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        Ok(text)
    })
}

/// Begins the shutdown when it is dropped.
fn adieu_trigger(trigger: adieu::Trigger) -> impl Drop {
    struct AtTheEnd(adieu::Trigger);
    impl Drop for AtTheEnd {
        fn drop(&mut self) {
            self.0.shut_down();
        }
    }
    AtTheEnd(trigger)
}

#[test]
fn over_tcp_a_trusted_peer_names_the_client_and_another_is_refused() {
    let sent = b"PROXY TCP4 192.0.2.7 198.51.100.1 50312 443\r\nhello";
    let (text, report) = over_tcp("10.0.0.0/8,127.0.0.0/8", sent);
    assert_eq!(text.unwrap(), "192.0.2.7:50312: hello");
    assert_eq!(counts(&report).refused, 0);
    let (text, report) = over_tcp("10.0.0.0/8,::/0", sent);
    assert!(text.is_err() || text.is_ok_and(|text| text.is_empty()));
    assert_eq!((counts(&report).refused, counts(&report).received), (1, 0));
}

#[test]
fn over_a_unix_socket_whoever_may_open_it_can_be_trusted() {
    for (trusted, answer) in [("unix", "[2001:db8::7]:50312: hello"), ("0.0.0.0/0,::/0", "")] {
        let directory = Directory::new("proxied");
        let (path, address) = directory.socket();
        let listener = UnixListener::bind(&address).unwrap();
        let proxy = ProxyProtocol::new(trusted.parse().unwrap(), Tcp::new(tell));
        let supervisor = Supervisor::new().service("web", Server::new(listener, proxy));
        let trigger = supervisor.trigger();
        let (text, report) = rig::run_with(supervisor, async move {
            let _ended = adieu_trigger(trigger);
            let mut stream = smol::net::unix::UnixStream::connect(path).await.unwrap();
            // It may be refused before.
            let _ = stream.write_all(&[&v2(0x21, 0x21, IPV6)[..], b"hello"].concat()).await;
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let mut text = String::new();
            let _ = stream.read_to_string(&mut text).await;
            text
        });
        assert_eq!(text, answer);
        assert_eq!(counts(&report).refused, u64::from(answer.is_empty()));
    }
}
