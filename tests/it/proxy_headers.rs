//! PROXY headers that are well-formed, and some that are not, each with what is to come of it.

/// Version 2 with this command, family and transport, and this behind the length.
pub fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap();
    announcing(length, command, family, rest)
}

/// The same with any length.
fn announcing(length: u16, command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    [b"\r\n\r\n\0\r\nQUIT\n", &[command, family][..], &length.to_be_bytes(), rest].concat()
}

/// From 192.0.2.7:50312 to 198.51.100.1:443.
pub const IPV4: &[u8] = &[192, 0, 2, 7, 198, 51, 100, 1, 0xc4, 0x88, 1, 0xbb];

/// From [2001:db8::7]:50312 to [2001:db8::1]:443.
pub const IPV6: &[u8] = &[
    0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 1, 0xc4, 0x88, 1, 0xbb,
];

pub const V1: &str = "PROXY TCP4 192.0.2.7 198.51.100.1 50312 443\r\n";

const LONGEST: &str = "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff \
                       ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";

/// Headers that are to be taken, each with the client that it names.
pub fn well_formed() -> Vec<(Vec<u8>, Option<&'static str>)> {
    let four = Some("192.0.2.7:50312");
    let six = Some("[2001:db8::7]:50312");
    let lines = [
        (V1, four),
        ("PROXY TCP4 192.0.2.7 198.51.100.1 0 0\r\n", Some("192.0.2.7:0")),
        (
            "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
            Some("255.255.255.255:65535"),
        ),
        ("PROXY TCP6 2001:db8::7 2001:DB8::1 50312 443\r\n", six),
        ("PROXY TCP6 :: :: 1 2\r\n", Some("[::]:1")),
        ("PROXY TCP6 ::ffff:192.0.2.7 ::1 50312 443\r\n", four),
        ("PROXY UNKNOWN\r\n", None),
        ("PROXY UNKNOWN 192.0.2.7 198.51.100.1 50312 443\r\n", None),
        ("PROXY UNKNOWN  what\tever\r\n", None),
        (LONGEST, None),
    ];
    // What comes behind the addresses, up to the limit. It is not looked at.
    let tlvs = |addresses: &[u8], amount| [addresses, &vec![0xff; amount]].concat();
    let binary = [
        (v2(0x21, 0x11, IPV4), four),
        (v2(0x21, 0x12, IPV4), four),
        (v2(0x21, 0x21, IPV6), six),
        (v2(0x21, 0x22, IPV6), six),
        (v2(0x21, 0x11, &tlvs(IPV4, 1)), four),
        (v2(0x21, 0x21, &tlvs(IPV6, 600)), six),
        (v2(0x21, 0x11, &tlvs(IPV4, 4096 - 16 - 12)), four),
        (v2(0x21, 0x31, &[b'/'; 216]), None),
        (v2(0x21, 0x32, &tlvs(&[0; 216], 9)), None),
        (v2(0x21, 0x00, b""), None),
        (v2(0x21, 0x00, IPV4), None),
        (v2(0x21, 0x10, IPV4), None),
        (v2(0x21, 0x01, b""), None),
        (v2(0x20, 0x00, b""), None),
        (v2(0x20, 0x11, IPV4), None),
        (v2(0x20, 0x11, b""), None),
        (v2(0x20, 0xff, b"ignored"), None),
    ];
    lines
        .map(|(line, client)| (line.as_bytes().to_vec(), client))
        .into_iter()
        .chain(binary)
        .collect()
}

/// What is no header, each with a word on why.
pub fn malformed() -> Vec<(Vec<u8>, &'static str)> {
    let lines = [
        ("G", "begins otherwise"),
        ("GET / HTTP/1.1\r\nHost: test\r\n\r\n", "begins otherwise"),
        ("proxy TCP4 192.0.2.7 198.51.100.1 50312 443\r\n", "begins otherwise"),
        ("PROXYTCP4 192.0.2.7 198.51.100.1 50312 443\r\n", "begins otherwise"),
        ("\r\nPROXY TCP4 192.0.2.7 198.51.100.1 50312 443\r\n", "begins otherwise"),
        ("\r\n\r\n\0\r\nQUIX\n", "begins otherwise"),
        ("PROXY TCP5 192.0.2.7 198.51.100.1 50312 443\r\n", "neither TCP4"),
        ("PROXY  TCP4 192.0.2.7 198.51.100.1 50312 443\r\n", "neither TCP4"),
        ("PROXY UNKNOWNS\r\n", "neither TCP4"),
        ("PROXY TCP4\r\n192.0.2.7 198.51.100.1 50312 443\r\n", "neither TCP4"),
        ("PROXY TCP4 192.0.2.7 198.51.100.1 50312\r\n443", "six fields"),
        ("PROXY TCP4 192.0.2.7 198.51.100.1 50312 443\n\n", "CR LF"),
        ("PROXY TCP4 192.0.2.7 198.51.100.1 50312 443\rG", "CR LF"),
        ("PROXY UNKNOWN\r\r", "CR LF"),
        ("PROXY TCP4 192.0.2.7  50312 4433\r\n", "IPv4"),
        ("PROXY TCP4 192.0.2.7  198.51.100.1 50312 443\r\n", "six fields"),
        ("PROXY TCP4 192.0.2.7 198.51.100.1 50312 443 \r\n", "six fields"),
        ("PROXY TCP4 192.0.2.07 198.51.100.1 50312 443\r\n", "IPv4"),
        ("PROXY TCP4 192.0.2.256 198.51.100.1 50312 443\r\n", "IPv4"),
        ("PROXY TCP4 192.0.2.7 198.51.100 50312 443 \r\n", "six fields"),
        ("PROXY TCP4 2001:db8::7 2001:db8::1 50312 443\r\n", "IPv4"),
        ("PROXY TCP6 192.0.2.7 198.51.100.1 50312 443\r\n", "IPv6"),
        ("PROXY TCP6 2001:db8::7%1 2001:db8::1 50312 443\r\n", "IPv6"),
        ("PROXY TCP4 192.0.2.7 198.51.100.1 65536 443\r\n", "port"),
        ("PROXY TCP4 192.0.2.7 198.51.100.1 50312 0443\r\n", "port"),
        ("PROXY TCP4 192.0.2.7 198.51.100.1 +5031 443\r\n", "port"),
        ("PROXY TCP4 192.0.2.7 198.51.100.1 50312 -443\r\n", "port"),
        ("PROXY TCP4 192.0.2.7 198.51.100.1 50312 44\u{ff}\r\n", "port"),
    ];
    let long = |byte: &str| format!("PROXY UNKNOWN {}\r\n", byte.repeat(92)).into_bytes();
    let others = [
        (long("x"), "too long"),
        (long(" "), "too long"),
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 50312 44\xff\r\n".to_vec(), "ASCII"),
        (v2(0x11, 0x11, IPV4), "version"),
        (v2(0x31, 0x11, IPV4), "version"),
        (v2(0x22, 0x11, IPV4), "command"),
        (v2(0x21, 0x41, IPV4), "family"),
        (v2(0x21, 0x13, IPV4), "family"),
        (v2(0x21, 0x11, &IPV4[1..]), "too short"),
        (v2(0x21, 0x21, IPV4), "too short"),
        (v2(0x21, 0x31, &[b'/'; 215]), "too short"),
        (announcing(4081, 0x21, 0x11, IPV4), "longer than"),
        (announcing(u16::MAX, 0x20, 0x00, b""), "longer than"),
    ];
    lines.map(|(line, why)| (line.as_bytes().to_vec(), why)).into_iter().chain(others).collect()
}
