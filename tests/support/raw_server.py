"""An HTTP server on the test's own loop that sends a recorded answer in pieces of a test's choice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
_TURNS_APART = 4
"""Turns of the loop between two pieces, in which the client reads the first."""


class RawServer:
    """Sends the same pieces to everyone who asks.

    Attributes:
        pieces: What is sent, each in a segment of its own; none may be empty.
        breaks_off: Whether the connection is closed then, without the answer's end.
        asked: How many requests have come.
    """

    def __init__(self) -> None:
        self.pieces: Sequence[bytes] = ()
        self.breaks_off = False
        self.asked = 0
        self.base_url = ""

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked += 1
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            (length,) = [int(line.split(b":")[1]) for line in head.lower().splitlines() if b"content-length" in line]
            await reader.readexactly(length)
            await _send(writer, _HEAD)
            for piece in self.pieces:
                await _send(writer, b"%x\r\n%b\r\n" % (len(piece), piece))
            if not self.breaks_off:
                await _send(writer, b"0\r\n\r\n")
        except ConnectionError:
            # A client that has seen enough.
            pass
        finally:
            writer.close()


async def _send(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()
    for _ in range(_TURNS_APART):
        await asyncio.sleep(0)


@asynccontextmanager
async def raw_server() -> AsyncIterator[RawServer]:
    """One that listens."""
    server = RawServer()
    listening = await asyncio.start_server(server._answer, "127.0.0.1", 0)
    server.base_url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"
    async with listening:
        yield server
