"""Sync functions beside the event loop, on threads that nobody has to wait for."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from typing import Any


async def in_daemon_thread(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """The function's result.

    Not `asyncio.to_thread`: a function that hangs would hold a worker of the loop's pool for ever, and the interpreter
    would wait for it at exit.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()
    context = contextvars.copy_context()

    def settle(result: Any, error: BaseException | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(result)
        else:
            done.set_exception(error)

    def work() -> None:
        result: Any = None
        error: BaseException | None = None
        try:
            result = context.run(function, *args, **kwargs)
        except StopIteration as stop:
            # A future refuses it.
            error = RuntimeError(f"StopIteration: {stop.value}")
        except Exception as raised:  # noqa: BLE001  # handed to whoever waits
            error = raised
        except BaseException as raised:  # noqa: BLE001  # such as `sys.exit()`, which would end the loop's thread
            error = RuntimeError(f"{type(raised).__name__}: {raised}")
        try:
            loop.call_soon_threadsafe(settle, result, error)
        except RuntimeError:
            # The loop has closed: nobody waits any more.
            return

    threading.Thread(target=work, name="composite_llm tool", daemon=True).start()
    return await done
