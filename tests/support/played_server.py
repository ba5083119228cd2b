"""An HTTP server on a loop of its own that plays whatever a test wants of a provider, faults of the wire included."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

_TURNS_APART = 4
"""Turns of the loop between two pieces, in which the client reads the first."""


@dataclass(frozen=True)
class Played:
    """What is answered.

    Attributes:
        status: Of HTTP.
        headers: Beside the body's length.
        pieces: Of the body, each in a segment of its own.
        chunked: Whether the body's length is told at its end.
        at_once: Whether all of the body goes in one segment, its end included.
        ends: How it goes on: `whole`; `cut` before the body's end; `silent` after what there is of it; `unanswered`, the
            connection closed before a word; `ignored`, the connection open and not a word.
    """

    status: int = 200
    headers: Sequence[tuple[str, str]] = (("Content-Type", "application/json"),)
    pieces: Sequence[bytes] = (b"{}",)
    chunked: bool = False
    at_once: bool = False
    ends: Literal["whole", "cut", "silent", "unanswered", "ignored"] = "whole"


@dataclass
class Asked:
    """One request as it came."""

    line: str
    headers: list[tuple[str, str]]
    body: bytes


@dataclass
class PlayedServer:
    """Answers every request with what it is told to play.

    Attributes:
        plays: The answer.
        asked: The requests, in order.
        connections: How many were opened.
        closed: Set when a client closed a connection that was not at its end.
    """

    base_url: str = ""
    plays: Played = field(default_factory=Played)
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def forget(self) -> None:
        """Begin anew."""
        self.asked.clear()
        self.connections = 0
        self.closed.clear()
        self.arrived.clear()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.connections += 1
        try:
            while await self._answered(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            # A client that has seen enough.
            pass
        finally:
            writer.close()

    async def _answered(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return False
        line, *fields = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        headers = [(name.lower(), value.strip()) for name, _, value in (one.partition(":") for one in fields)]
        length = next((int(value) for name, value in headers if name == "content-length"), 0)
        self.asked.append(Asked(line, headers, await reader.readexactly(length)))
        self.arrived.set()
        played = self.plays
        if played.ends == "unanswered":
            return False
        if played.ends == "ignored":
            return await self._wait_for_the_client(reader)
        await _send(writer, _head(played))
        for segment in _segments(played):
            await _send(writer, segment)
        if played.ends == "silent":
            return await self._wait_for_the_client(reader)
        return played.ends == "whole"

    async def _wait_for_the_client(self, reader: asyncio.StreamReader) -> bool:
        try:
            await reader.read()
        finally:
            self.closed.set()
        return False


def _head(played: Played) -> bytes:
    fields = [f"HTTP/1.1 {played.status} Played", *(f"{name}: {value}" for name, value in played.headers)]
    if played.chunked:
        fields.append("Transfer-Encoding: chunked")
    else:
        # What is cut off, or not sent yet, was to come.
        missing = 0 if played.ends == "whole" else 10
        fields.append(f"Content-Length: {sum(map(len, played.pieces)) + missing}")
    return "\r\n".join([*fields, "", ""]).encode("latin-1")


def _segments(played: Played) -> list[bytes]:
    sent = [b"%x\r\n%b\r\n" % (len(piece), piece) if played.chunked else piece for piece in played.pieces if piece]
    if played.chunked and played.ends == "whole":
        sent.append(b"0\r\n\r\n")
    return [b"".join(sent)] if played.at_once else sent


async def _send(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()
    for _ in range(_TURNS_APART):
        await asyncio.sleep(0)


@asynccontextmanager
async def played_server() -> AsyncIterator[PlayedServer]:
    """One that listens."""
    server = PlayedServer()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.base_url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"
    try:
        yield server
    finally:
        listening.close()
