"""OTLP written by hand, and the one call of it over gRPC: what the scorecards send where a library would get in the way."""

import os
import socket
import struct
import time


def varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out + bytes([number]))


def field(number, content):
    return varint(number << 3 | 2) + varint(len(content)) + content


def attribute(key, value):
    return field(1, key) + field(2, field(1, value))


def span(name=b"GET /", trace=None, own=None, parent=b"", kind=2, attributes=(), start_ns=None, end_ns=None):
    end = end_ns if end_ns is not None else time.time_ns() - 10_000_000
    start = start_ns if start_ns is not None else end - 20_000_000
    ids = field(1, trace or os.urandom(16)) + field(2, own or os.urandom(8)) + (field(4, parent) if parent else b"")
    times = b"\x39" + struct.pack("<Q", start) + b"\x41" + struct.pack("<Q", end)
    return ids + field(5, name) + b"\x30" + bytes([kind]) + times + b"".join(field(9, attribute(*one)) for one in attributes)


def request(service, spans, attributes=()):
    resource = b"".join(field(1, attribute(*one)) for one in [(b"service.name", service), *attributes])
    return field(1, field(1, resource) + field(2, b"".join(field(2, one) for one in spans)))


# HTTP/2 and gRPC.

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, ACK, END_HEADERS = 1, 1, 4


def frame(kind, flags=0, stream=0, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def headers(path=b"/opentelemetry.proto.collector.trace.v1.TraceService/Export", more=()):
    """A header block of literals, without a table to keep (RFC 7541, 6.2.2)."""
    fields = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", path), (b":authority", b"localhost"),
              (b"content-type", b"application/grpc"), (b"te", b"trailers"), *more]
    return b"".join(b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value for name, value in fields)


class Export:
    """One connection that exports, as an SDK or a Collector holds it; connects again when it was closed."""

    def __init__(self, port, timeout=10):
        self.port, self.timeout, self.socket = port, timeout, None

    def send(self, body):
        """Whether the message was taken: a refusal has trailers alone, an answer has a message."""
        try:
            if self.socket is None:
                self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=self.timeout)
                self.socket.sendall(PREFACE + frame(SETTINGS))
                self.stream, self.buffer = 1, b""
            stream, self.stream = self.stream, self.stream + 2
            message = b"\0" + len(body).to_bytes(4, "big") + body
            parts = [message[at : at + 16_384] for at in range(0, len(message), 16_384)]
            frames = [frame(DATA, END_STREAM if number == len(parts) - 1 else 0, stream, part) for number, part in enumerate(parts)]
            self.socket.sendall(frame(HEADERS, END_HEADERS, stream, headers()) + b"".join(frames))
            return self.answer(stream)
        except OSError:
            self.close()
            return False

    def answer(self, wanted):
        has_message = False
        while True:
            head = self.read(9)
            length, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
            stream, payload = int.from_bytes(head[5:9], "big"), self.read(length)
            if kind == SETTINGS and not flags & ACK:
                self.socket.sendall(frame(SETTINGS, ACK))
            elif kind == PING and not flags & ACK:
                self.socket.sendall(frame(PING, ACK, 0, payload))
            elif kind == GOAWAY:
                raise OSError("the connection ends")
            elif stream == wanted:
                has_message |= kind == DATA
                if kind == RST_STREAM or kind in (DATA, HEADERS) and flags & END_STREAM:
                    return has_message

    def read(self, length):
        while len(self.buffer) < length:
            part = self.socket.recv(65_536)
            if not part:
                raise OSError("closed")
            self.buffer += part
        content, self.buffer = self.buffer[:length], self.buffer[length:]
        return content

    def close(self):
        if self.socket is not None:
            self.socket.close()
            self.socket = None
