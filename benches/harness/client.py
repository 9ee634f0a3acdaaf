"""A small HTTP/1.1 client that trusts nothing it reads."""

import socket
from typing import Iterator, NamedTuple

from .errors import Wrong

IP_BIND_ADDRESS_NO_PORT = 24


def connect(port: int, number: int = 0, timeout: float = 15, receive_buffer: int = 0) -> socket.socket:
    """Connects as client `number`. Clients come from 127.0.0.2 and up, 4,000 to an address, so that ports do
    not run out, and so that a client can never meet itself on the port of a server that has gone."""
    sock = socket.socket()
    try:
        sock.settimeout(timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.bind((f"127.0.0.{2 + number // 4000}", 0))
        sock.connect(("127.0.0.1", port))
    except BaseException:
        sock.close()
        raise
    return sock


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    def says_close(self) -> bool:
        return "close" in self.headers.get("connection", "").lower()

    def check_hello(self, name: str) -> None:
        if (self.status, self.body.strip()) != (200, b"Hello from " + name.encode()):
            raise Wrong(f"answered {self.status} {self.body[:80]!r} instead of 200 and the greeting of {name}")


class Client:
    """One HTTP/1.1 connection that trusts nothing it reads."""

    def __init__(self, port: int, number: int = 0, timeout: float = 15):
        self.socket = connect(port, number, timeout)
        self.received = 0
        self._file = self.socket.makefile("rb")

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def ask(self, method: str = "GET", headers: str = "") -> None:
        self.send(request(method, headers))

    def answer(self, method: str = "GET", on_continue: bytes = b"") -> Answer:
        status, headers = self._head()
        if status == 100:
            self.send(on_continue)
            status, headers = self._head()
        if method == "HEAD" or status in (204, 304):
            body = b""
        elif headers.get("transfer-encoding") == "chunked":
            body = b"".join(self._chunks())
        elif "content-length" in headers:
            body = self._bytes(int(headers["content-length"]))
        else:
            body = self._file.read()
        return Answer(status, headers, body)

    def hello(self, name: str) -> Answer:
        self.ask()
        answer = self.answer()
        answer.check_hello(name)
        return answer

    def _head(self) -> tuple[int, dict[str, str]]:
        version, status, *_ = self._line().split(" ", 2) + [""]
        if version != "HTTP/1.1" or not status.isdigit():
            raise Wrong(f"not a status line: {version} {status}")
        headers = {}
        while line := self._line():
            name, colon, value = line.partition(":")
            if not colon:
                raise Wrong(f"not a header: {line}")
            headers[name.lower()] = value.strip()
        return int(status), headers

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self._line().split(";")[0], 16):
            yield self._bytes(size)
            self._line()
        while self._line():
            pass

    def _line(self) -> str:
        line = self._file.readline(65536)
        if not line.endswith(b"\r\n"):
            raise Wrong("closed in the middle of an answer" if line else "closed without an answer")
        self.received += len(line)
        return line[:-2].decode("latin-1")

    def _bytes(self, count: int) -> bytes:
        data = self._file.read(count)
        if len(data) < count:
            raise Wrong(f"closed after {len(data)} of {count} body bytes")
        self.received += count
        return data


def request(method: str = "GET", headers: str = "") -> bytes:
    return f"{method} / HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n".encode()
