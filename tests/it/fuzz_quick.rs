//! A little of what the fuzzers do, the same each time: well-formed input with a few bytes changed,
//! and noise. `fuzz/run.sh` does a lot more of it.

use crate::properties;

/// Enough of a random number generator (xorshift, Marsaglia 2003).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// One of the seeds, with some bytes changed, put in or taken out, or pieces of it repeated.
    fn mutated(&mut self, seeds: &[&[u8]]) -> Vec<u8> {
        let mut bytes = seeds[self.below(seeds.len())].to_vec();
        for _ in 0..self.below(6) {
            let at = self.below(bytes.len() + 1);
            match self.below(5) {
                0 => bytes.insert(at, self.next() as u8),
                1 => bytes.insert(at, b"\r\n :;,\0/"[self.below(8)]),
                2 if at < bytes.len() => drop(bytes.remove(at)),
                3 if at < bytes.len() => bytes[at] = self.next() as u8,
                _ => bytes.extend_from_within(at..),
            }
        }
        bytes
    }

    /// Some of these bytes, in any order.
    fn some_of(&mut self, bytes: &[u8], most: usize) -> Vec<u8> {
        (0..self.below(most)).map(|_| bytes[self.below(bytes.len())]).collect()
    }

    fn noise(&mut self, most: usize) -> Vec<u8> {
        (0..self.below(most)).map(|_| self.next() as u8).collect()
    }
}

const HEADS: &[&[u8]] = &[
    b"GET / HTTP/1.1\r\nHost: test\r\n\r\n",
    b"POST http://test/a?b=c HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello",
    b"PUT / HTTP/1.1\r\nhost:[::1]:80\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
    b"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\nUpgrade: a\r\n\r\n",
];

/// What hosts begin and end with.
const HOSTS: &[&[u8]] = &[
    b"",
    b"",
    b"",
    b"test",
    b"1.2.3",
    b"0x",
    b"xn--",
    b"xn--nxasmq6b",
    b"[",
    b"[::",
    b"]",
    b":80",
    b".",
];

/// What targets are made of.
const DESTINATIONS: &[u8] = b"//..%2eE//aZ09-_~?&='[]{}|\\^\"<>`#@:!$()*+,; \t\x7f\xc5";

const BODIES: &[&[u8]] = &[
    b"\x005\r\nhello\r\n0\r\n\r\nGET",
    b"\x00a;b=\"c\\\"\"\r\n0123456789\r\n0;d\r\nE: f\r\nG:h\r\n\r\n",
    b"\x05hello and more",
];

const PROXY_HEADERS: &[&[u8]] = &[
    b"PROXY TCP4 192.0.2.7 198.51.100.1 50312 443\r\nGET",
    b"PROXY TCP6 2001:db8::7 ::ffff:1.2.3.4 50312 443\r\n",
    b"PROXY UNKNOWN a b\r\n\r\n",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x07\xc6\x33\x64\x01\xc4\x88\x01\xbbGET",
    b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x03\x04\x00\x00GET",
];

#[test]
fn heads_however_mutated_keep_their_promises() {
    let mut random = Random(1);
    for _ in 0..3000 {
        properties::head(&random.mutated(HEADS));
    }
}

#[test]
fn targets_and_hosts_are_seen_as_they_were_sent_or_refused() {
    let mut random = Random(5);
    for _ in 0..3000 {
        let mut destination = b"/".to_vec();
        destination.extend(random.some_of(DESTINATIONS, 12));
        destination.push(0);
        let piece = random.below(HOSTS.len());
        destination.extend(HOSTS[piece]);
        let piece = random.below(HOSTS.len());
        destination.extend(random.some_of(b"0123456789abcdefxXnN-._:[]%", 6));
        destination.extend(HOSTS[piece]);
        properties::destination(&destination);
    }
}

#[test]
fn bodies_however_mutated_keep_their_promises() {
    let mut random = Random(2);
    for _ in 0..20_000 {
        properties::framing(&random.mutated(BODIES));
    }
}

#[test]
fn proxy_headers_however_mutated_keep_their_promises() {
    let mut random = Random(6);
    for _ in 0..1500 {
        properties::proxy(&random.mutated(PROXY_HEADERS));
    }
}

#[test]
fn connections_of_well_formed_requests_keep_their_promises() {
    let mut random = Random(3);
    for _ in 0..500 {
        // No noise between the requests, so that every answer is known.
        let choices = random.noise(60).into_iter();
        properties::connection(
            &choices
                .map(|byte| if (100..160).contains(&byte) { 230 } else { byte })
                .collect::<Vec<_>>(),
        );
    }
}

#[test]
fn connections_of_noise_keep_their_promises() {
    let mut random = Random(4);
    for _ in 0..300 {
        let mut data = Vec::new();
        for _ in 0..random.below(8) {
            let head = random.mutated(HEADS);
            data.extend([100, head.len().min(255) as u8]);
            data.extend(head);
            data.extend(random.noise(6));
        }
        properties::connection(&data);
    }
}

#[cfg(feature = "hyper")]
#[test]
fn connections_over_http2_keep_their_promises() {
    let mut random = Random(6);
    for wild in [false, true] {
        // Without frames that nobody can tell the meaning of, and with them.
        let tame =
            |byte| if (60..90).contains(&byte) || (110..160).contains(&byte) { 230 } else { byte };
        for _ in 0..300 {
            let choices = random.noise(80).into_iter();
            let choices: Vec<_> =
                choices.map(|byte| if wild { byte } else { tame(byte) }).collect();
            crate::properties_h2::http2(&choices);
        }
    }
}
