"""Runs one process within limits of time and output; nothing of it is left when this is over."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finished:
    """What came of a process.

    Attributes:
        exit_code: Its own; minus the signal's number when one ended it; None when it took too long.
        output: Standard output and error together, the middle cut out when there was too much.
        timed_out: Whether it was ended for its time.
    """

    exit_code: int | None
    output: str
    timed_out: bool = False


class _Kept:
    """The beginning and the end of a long output."""

    def __init__(self, limit: int) -> None:
        self._half = max(1, limit // 2)
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._in_tail = 0
        self._dropped = 0

    def add(self, data: bytes) -> None:
        room = self._half - len(self._head)
        self._head += data[:room]
        if rest := data[room:] if room > 0 else data:
            self._tail.append(rest)
            self._in_tail += len(rest)
        while self._in_tail > self._half:
            first = self._tail.popleft()
            excess = min(len(first), self._in_tail - self._half)
            self._in_tail -= excess
            self._dropped += excess
            if excess < len(first):
                self._tail.appendleft(first[excess:])

    def text(self) -> str:
        cut = f"\n[… {self._dropped} bytes left out …]\n".encode() if self._dropped else b""
        return (bytes(self._head) + cut + b"".join(self._tail)).decode("utf-8", errors="replace")


async def run_process(
    argv: Sequence[str], *, cwd: str, env: Mapping[str, str], timeout_s: float, max_output_bytes: int
) -> Finished:
    """Run a program to its end, or to the end of its time.

    Raises:
        OSError: It cannot be started.
    """
    process = await asyncio.create_subprocess_exec(
        *argv,
        cwd=cwd,
        env=dict(env),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        # A group of its own, so that what it starts can be ended with it.
        start_new_session=True,
    )
    kept = _Kept(max_output_bytes)
    try:
        async with asyncio.timeout(timeout_s):
            await _drain(process, kept)
            code = await process.wait()
        return Finished(code, kept.text())
    except TimeoutError:
        return Finished(None, kept.text(), timed_out=True)
    finally:
        await _ended(process)


async def _drain(process: asyncio.subprocess.Process, kept: _Kept) -> None:
    assert process.stdout is not None
    while data := await process.stdout.read(1 << 16):
        kept.add(data)


async def _ended(process: asyncio.subprocess.Process) -> None:
    """End whatever of the group still lives: also what the program left behind when it ended by itself."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await asyncio.shield(process.wait())
    transport = getattr(process, "_transport", None)
    if transport is not None:
        transport.close()
