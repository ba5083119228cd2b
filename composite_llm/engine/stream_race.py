"""A hedged stream: a second attempt when the first is slow to answer, and the one whose answer begins first goes on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Protocol

from composite_llm.backend.interface import Chunk
from composite_llm.engine.recorder import OpenCall
from composite_llm.engine.stream_assembler import StreamAssembler
from composite_llm.engine.subcall import final_unusable_reason, note_next_step
from composite_llm.model.errors import Failure
from composite_llm.model.structured_text import NextStep


class StreamedAttempt(Protocol):
    """What takes part in a race."""

    assembler: StreamAssembler
    failure: Failure | None

    def chunks(self) -> AsyncGenerator[Chunk, None]:
        """The attempt; afterwards `failure` says why it gave no whole answer."""
        ...


class Opened:
    """A stream that was read as far as the first piece of its answer."""

    def __init__(self, attempt: StreamedAttempt) -> None:
        self.attempt = attempt
        self._chunks = attempt.chunks()
        self._read: list[Chunk] = []

    async def open(self) -> None:
        """Read up to the first piece of the answer, or to the end if there is none."""
        async for chunk in self._chunks:
            self._read.append(chunk)
            if self.attempt.assembler.answer_started:
                return

    @property
    def promising(self) -> bool:
        """Whether an answer has begun, or has ended as one."""
        begun = self.attempt.assembler.answer_started
        return self.attempt.failure is None and (begun or final_unusable_reason(self.attempt.assembler.reply()) is None)

    async def chunks(self) -> AsyncGenerator[Chunk, None]:
        """What was read already, and the rest."""
        async with contextlib.aclosing(self._chunks) as rest:
            for chunk in self._read:
                yield chunk
            async for chunk in rest:
                yield chunk

    async def close(self) -> None:
        """End it; what it spent is counted."""
        await self._chunks.aclose()


async def first_to_answer(make: Callable[[bool], StreamedAttempt], hedge_after_s: float, call: OpenCall) -> Opened:
    """One attempt, or two when the first has not begun to answer in time; the other one is ended.

    Until then nothing can be passed on, not even reasoning: nobody knows whose will be the answer.

    Args:
        make: Makes an attempt; True for one that must not be answered from a response cache.
        hedge_after_s: Seconds until the second one leaves.
        call: The record of the call that they are attempts of.

    Returns:
        The first whose answer begins; if none does, the last to fail.
    """
    opened = [Opened(make(False))]
    tasks = [asyncio.create_task(opened[0].open())]
    try:
        await asyncio.wait(tasks, timeout=hedge_after_s)
        if not tasks[0].done():
            note_next_step(call, NextStep("hedge", delay_s=hedge_after_s))
            opened.append(Opened(make(True)))
            tasks.append(asyncio.create_task(opened[1].open()))
        chosen = await _first_promising(opened, tasks)
        await _end(tasks, [other for other in opened if other is not chosen])
    except BaseException:
        # Cancelled, or out of the run's time: nobody reads on.
        await _end(tasks, opened)
        raise
    for attempt in call.attempts:
        if attempt.status == "cancelled" and attempt.ended is not None:
            attempt.status = "abandoned"
    return chosen


async def _end(tasks: Sequence[asyncio.Task[None]], streams: Sequence[Opened]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for stream in streams:
        await stream.close()


async def _first_promising(opened: Sequence[Opened], tasks: Sequence[asyncio.Task[None]]) -> Opened:
    waiting = set(tasks)
    last = opened[0]
    while waiting:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for stream, task in zip(opened, tasks, strict=True):
            if task in done:
                # The end of the run's time is raised here.
                task.result()
                last = stream
                if stream.promising:
                    return stream
    return last
