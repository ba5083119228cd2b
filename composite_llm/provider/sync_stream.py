"""An async stream for a caller without a loop, a thread apart."""

from __future__ import annotations

import queue
import weakref
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import aclosing
from typing import Any

from litellm.types.utils import ModelResponseStream

from composite_llm.backend.litellm_error_classes import to_litellm_error
from composite_llm.model.errors import CompositeError
from composite_llm.provider.portal import Portal

_END = object()


class SyncStream(Iterator[ModelResponseStream]):
    """Iterates a stream that runs on the portal's loop.

    The stream is pushed, not pulled: a consumer that stops reading holds no connection open, and each chunk costs one
    wake-up instead of two. Dropping the last reference, or `close`, cancels what still runs.

    Args:
        portal: Where to run it.
        make: Makes the async stream, on the portal's loop.
    """

    def __init__(self, portal: Portal, make: Callable[[], AsyncGenerator[ModelResponseStream, None]]) -> None:
        self._items: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._future = portal.start(_pump(make, self._items))
        # Called when the pump ends however it ends, cancelled before its first step included.
        self._future.add_done_callback(_end_of(self._items))
        self._finalizer = weakref.finalize(self, self._future.cancel)
        self._finalizer.atexit = False
        self._ended = False

    def __iter__(self) -> SyncStream:
        return self

    def __next__(self) -> ModelResponseStream:
        if self._ended:
            raise StopIteration
        try:
            item = self._items.get()
        except BaseException:
            # Ctrl-C while waiting.
            self.close()
            raise
        if item is not _END:
            chunk: ModelResponseStream = item
            return chunk
        closed, self._ended = self._ended, True
        try:
            self._future.result()
        except CancelledError:
            if closed:
                raise StopIteration from None
            # Not the reader's doing: an answer that ends here must not look whole.
            cut_off = CompositeError("the stream was cut off because the program is ending")
            raise to_litellm_error(cut_off, "composite") from None
        raise StopIteration

    def close(self) -> None:
        """End the run; iteration stops."""
        self._ended = True
        self._finalizer()


def _pump(
    make: Callable[[], AsyncGenerator[ModelResponseStream, None]], items: queue.SimpleQueue[Any]
) -> Callable[[], Any]:
    async def pump() -> None:
        stream: Any = make()
        async with aclosing(stream):
            async for chunk in stream:
                items.put(chunk)

    return pump


def _end_of(items: queue.SimpleQueue[Any]) -> Callable[[Future[None]], None]:
    return lambda _: items.put(_END)
