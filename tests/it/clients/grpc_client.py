"""A gRPC client that nobody here wrote (PyPI's grpcio), driven line by line by tests/it/grpc.rs.

Usage: grpc_client.py ADDRESS SCENARIO. Messages are coded by hand, so that no protoc is needed.
"""

import sys
import threading
import time

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc


def words(text: str, pause_ms: int = 0, times: int = 0) -> bytes:
    def number(tag: int, value: int) -> bytes:
        coded = bytearray([tag])
        while value > 0x7F:
            coded.append(value & 0x7F | 0x80)
            value >>= 7
        return bytes(coded + bytes([value]))

    return b"\x0a" + bytes([len(text)]) + text.encode() + number(0x10, pause_ms) + number(0x18, times)


def text(message: bytes) -> str:
    assert message[0] == 0x0A, message
    return message[2 : 2 + message[1]].decode()


def say(line: str) -> None:
    print(line, flush=True)


def told(call) -> str:
    """What a call comes to: its words, or its status."""
    try:
        answer = call()
        return text(answer) if isinstance(answer, bytes) else " ".join(map(text, answer))
    except grpc.RpcError as error:
        return error.code().name


class Echo:
    def __init__(self, channel: grpc.Channel):
        self.channel = channel
        self.say = channel.unary_unary("/adieu.echo.Echo/Say")
        self.repeat = channel.unary_stream("/adieu.echo.Echo/Repeat")
        self.gather = channel.stream_unary("/adieu.echo.Echo/Gather")
        self.converse = channel.stream_stream("/adieu.echo.Echo/Converse")
        self.health = health_pb2_grpc.HealthStub(channel)
        self.unknown = channel.unary_unary("/adieu.echo.Nobody/Say")
        self.no_method = channel.unary_unary("/adieu.echo.Echo/Shout")


def check(echo: Echo, service: str) -> str:
    try:
        status = echo.health.Check(health_pb2.HealthCheckRequest(service=service)).status
        return health_pb2.HealthCheckResponse.ServingStatus.Name(status)
    except grpc.RpcError as error:
        return error.code().name


def calls(echo: Echo) -> None:
    say(told(lambda: echo.say(words("hello"))))
    say(told(lambda: echo.repeat(words("again", times=3))))
    say(told(lambda: echo.gather(iter([words("a"), words("b"), words("c")]))))
    say(told(lambda: echo.converse(iter([words("x"), words("y")]))))
    say(told(lambda: echo.unknown(words("?"))))
    say(told(lambda: echo.no_method(words("?"))))
    say(told(lambda: echo.say(words("late", pause_ms=2000), timeout=0.05)))
    say(told(lambda: echo.say(words("panic"))))
    say(" ".join(check(echo, service) for service in ["", "adieu.echo.Echo", "adieu.echo.Nobody"]))


def drain(echo: Echo) -> None:
    """Calls of each kind are under way when shutdown begins, half a second from the start."""
    watch = echo.health.Watch(health_pb2.HealthCheckRequest(service="adieu.echo.Echo"))
    results = {}
    in_flight = {
        "unary": lambda: echo.say(words("unary", pause_ms=1000)),
        "stream": lambda: echo.repeat(words("stream", pause_ms=100, times=10)),
    }
    threads = [
        threading.Thread(target=lambda name=name, call=call: results.update({name: told(call)}))
        for name, call in in_flight.items()
    ]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    say("ready")
    names = health_pb2.HealthCheckResponse.ServingStatus.Name
    say(" ".join(names(status.status) for status in watch))
    for thread in threads:
        thread.join()
    say(results["unary"])
    say(results["stream"])
    say(told(lambda: echo.say(words("too late"), timeout=1)))


def cut(echo: Echo) -> None:
    """A call that misses the deadline."""
    threading.Timer(0.3, lambda: say("ready")).start()
    say(told(lambda: echo.say(words("never", pause_ms=60_000))))


def reflect(echo: Echo) -> None:
    """Asks what services there are, and for the methods of one."""
    from google.protobuf.descriptor_pool import DescriptorPool
    from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

    database = ProtoReflectionDescriptorDatabase(echo.channel)
    say(" ".join(sorted(database.get_services())))
    methods = DescriptorPool(database).FindServiceByName("grpc.health.v1.Health").methods
    say(" ".join(sorted(method.name for method in methods if method.name in ("Check", "Watch"))))


address, scenario = sys.argv[1:]
with grpc.insecure_channel(address) as channel:
    globals()[scenario](Echo(channel))
