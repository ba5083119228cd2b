"""Writing a response piece by piece."""

import asyncio
import re

from aiohttp import web

from fake_server.ledger import Record

_AFTER_LEAD_BYTE = re.compile(rb"(?<=[\xc0-\xff])")
_MAX_SPLITS = 4
_SPLIT_PAUSE_S = 0.001
_BUFFER_BYTES = 16_384


class Wire:
    """A response that has sent its headers; small writes wait for each other until a pause or the end."""

    def __init__(self, request: web.Request, response: web.StreamResponse, record: Record, *, split: bool) -> None:
        """Use :meth:`open`."""
        self._request = request
        self._response = response
        self._record = record
        self._split = split
        self._buffer: list[bytes] = []
        self._size = 0
        self._chunks = 0

    @classmethod
    async def open(
        cls, request: web.Request, response: web.StreamResponse, record: Record, *, split: bool = False
    ) -> "Wire":
        """Send the headers."""
        await response.prepare(request)
        record.status = response.status
        return cls(request, response, record, split=split)

    async def write(self, data: bytes, chunks: int = 0) -> None:
        """Write bytes that complete so many chunks."""
        self._buffer.append(data)
        self._size += len(data)
        self._chunks += chunks
        if self._split or self._size >= _BUFFER_BYTES:
            await self.flush()

    async def flush(self) -> None:
        """Send what waits."""
        data = b"".join(self._buffer)
        self._buffer.clear()
        self._size = 0
        for at, piece in enumerate(_AFTER_LEAD_BYTE.split(data, _MAX_SPLITS) if self._split else [data]):
            # Without the pause the kernel joins the segments again.
            await asyncio.sleep(_SPLIT_PAUSE_S if at else 0)
            await self._response.write(piece)
        self._record.chunks += self._chunks
        self._chunks = 0

    async def pause(self, seconds: float) -> None:
        """Send what waits, then wait."""
        if seconds:
            await self.flush()
            await asyncio.sleep(seconds)

    async def end(self) -> web.StreamResponse:
        """Send the end of the response."""
        await self.flush()
        await self._response.write_eof()
        return self._response

    async def cut(self) -> web.StreamResponse:
        """Send what waits, then close the connection in the middle of the response."""
        await self.flush()
        close_connection(self._request)
        return self._response


def close_connection(request: web.Request) -> None:
    """Close the connection of a request; whatever aiohttp still writes to it is lost without a sound."""
    request.protocol.force_close()


async def forever() -> None:
    """Wait until the task is cancelled, which happens when the client goes away or the server stops."""
    await asyncio.Event().wait()
