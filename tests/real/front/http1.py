"""As much of HTTP/1.1 as a load of two hundred requests a second and four small services need, on asyncio: kept connections,
bodies by length. Standard library only."""

import asyncio

REASONS = {200: "OK", 404: "Not Found", 503: "Service Unavailable", 504: "Gateway Timeout"}


async def head(reader):
    """First line and headers (names in lower case); None at the end of the connection."""
    try:
        text = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return None
    first, *lines = text[:-4].split("\r\n")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return first, headers


async def body(reader, headers):
    """Read to its end, so that the connection can be used again."""
    if "chunked" in headers.get("transfer-encoding", ""):
        while size := int((await reader.readline()).split(b";")[0], 16):
            await reader.readexactly(size + 2)
        await reader.readuntil(b"\r\n")
    elif length := int(headers.get("content-length", 0)):
        await reader.readexactly(length)


async def read_request(reader):
    """Method, path and headers of the next request; None at the end of the connection."""
    read = await head(reader)
    if read is None:
        return None
    first, headers = read
    method, path, _ = first.split(" ", 2)
    await body(reader, headers)
    return method, path, headers


def response(status, text):
    first = f"HTTP/1.1 {status} {REASONS.get(status, 'Status')}\r\n"
    return f"{first}content-type: text/plain\r\ncontent-length: {len(text)}\r\n\r\n".encode() + text


class Pool:
    """Kept connections to one address: as many as there are requests at once."""

    def __init__(self, host, port):
        self.host, self.port, self.idle = host, port, []

    async def ask(self, method, path, headers=None):
        """Status and headers of the answer."""
        while True:
            is_kept = bool(self.idle)
            reader, writer = self.idle.pop() if is_kept else await asyncio.open_connection(self.host, self.port)
            try:
                more = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
                length = "content-length: 0\r\n" if method == "POST" else ""
                writer.write(f"{method} {path} HTTP/1.1\r\nhost: {self.host}\r\n{length}{more}\r\n".encode())
                read = await head(reader)
                if read is None:
                    raise ConnectionResetError("closed before an answer")
                first, answered = read
                await body(reader, answered)
            except (ConnectionError, asyncio.IncompleteReadError):
                writer.close()
                # A kept connection may have been closed meanwhile: another is tried.
                if is_kept:
                    continue
                raise
            except BaseException:
                writer.close()
                raise
            if answered.get("connection", "").lower() == "close":
                writer.close()
            else:
                self.idle.append((reader, writer))
            return int(first.split(" ", 2)[1]), answered

    def close(self):
        for _, writer in self.idle:
            writer.close()
        self.idle.clear()
