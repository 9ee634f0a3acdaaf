"""A network namespace behind a link on which each packet takes 20 ms, each way. Needs root.

The delay is made here, between two TUN devices: tc-netem is not in every kernel.
"""

import collections
import contextlib
import ctypes
import fcntl
import multiprocessing
import os
import select
import struct
import subprocess
import time
from typing import Iterator

from .errors import Missing

CLONE_NEWNET = 0x40000000
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
DELAY = 0.02


class DelayedLink:
    """Leaving the `with` block removes it. `enter` is put before a command that is to be run in there."""

    HOST, OURS = "198.18.77.2", "198.18.77.1"

    def __init__(self):
        self._name = f"adieu-{os.getpid()}"
        self._forwarder: multiprocessing.Process | None = None
        self.enter = ["ip", "netns", "exec", self._name]

    def __enter__(self) -> "DelayedLink":
        names = ours, theirs = [f"ad{os.getpid()}{end}" for end in "ab"]
        try:
            ends = [open_tun(name) for name in names]
        except OSError as error:
            raise Missing(f"a TUN device is missing: {error}") from error
        for line in [
            f"ip netns add {self._name}",
            f"ip link set {theirs} netns {self._name}",
            f"ip addr add {self.OURS} peer {self.HOST} dev {ours}",
            f"ip link set {ours} up txqueuelen 10000",
            f"ip -n {self._name} addr add {self.HOST} peer {self.OURS} dev {theirs}",
            f"ip -n {self._name} link set {theirs} up txqueuelen 10000",
            f"ip -n {self._name} link set lo up",
        ]:
            if subprocess.run(line.split(), capture_output=True).returncode:
                self.__exit__()
                raise Missing(f"`{line}` is not permitted here")
        self._forwarder = multiprocessing.Process(target=delay, args=ends, daemon=True)
        self._forwarder.start()
        for end in ends:
            os.close(end)
        return self

    def __exit__(self, *_) -> None:
        if self._forwarder:
            self._forwarder.terminate()
            self._forwarder.join()
        subprocess.run(["ip", "netns", "delete", self._name], check=False)

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """Sockets that are made meanwhile are in the namespace."""
        libc = ctypes.CDLL(None, use_errno=True)
        with open("/proc/self/ns/net") as ours, open(f"/run/netns/{self._name}") as theirs:
            libc.setns(theirs.fileno(), CLONE_NEWNET)
            try:
                yield
            finally:
                libc.setns(ours.fileno(), CLONE_NEWNET)


def open_tun(name: str) -> int:
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TUN | IFF_NO_PI))
    return device


def delay(one: int, other: int) -> None:
    """Hands each packet of either device to the other, later. Ends with the process that started it."""
    across, waiting = {one: other, other: one}, collections.deque()
    while True:
        now = time.monotonic()
        while waiting and waiting[0][0] <= now:
            _, device, packet = waiting.popleft()
            with contextlib.suppress(OSError):
                os.write(device, packet)
        for device in select.select(across, [], [], waiting[0][0] - now if waiting else None)[0]:
            with contextlib.suppress(BlockingIOError):
                for _ in range(64):
                    packet = os.read(device, 2048)
                    waiting.append((time.monotonic() + DELAY, across[device], packet))
