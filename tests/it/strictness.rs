//! The reader that most tests look through: what it refuses, and what it takes for a whole answer.

use crate::reader::{Answer, answers};

fn read(bytes: &str) -> Result<Vec<Answer>, String> {
    answers(bytes.as_bytes(), |_| false)
}

#[test]
fn the_reader_takes_only_what_this_server_may_write() {
    for bytes in [
        "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 +20 OK\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length:0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length : 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: +5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ncontent-length: 5, 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\nhello",
        "HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 100 Continue\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx: a\x07b\r\n\r\n",
    ] {
        assert!(read(bytes).is_err(), "{bytes:?}");
    }
}

#[test]
fn an_answer_is_complete_when_its_end_has_come() {
    for (bytes, complete) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n", false),
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhell", false),
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", true),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", false),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", false),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", true),
        ("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello", false),
        ("HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n", true),
        ("HTTP/1.1 204 No Content\r\n\r\n", true),
    ] {
        let seen = read(bytes).unwrap();
        assert_eq!(seen.iter().map(|answer| answer.complete).collect::<Vec<_>>(), [complete]);
    }
    let last = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello";
    let (answer, taken) = crate::reader::one(last, false, true).unwrap();
    assert_eq!((answer.text().as_str(), answer.complete, taken), ("hello", true, last.len()));
}
