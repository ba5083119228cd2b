"""LiteLLM's callbacks, as an application hears them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import litellm
from litellm.integrations.custom_logger import CustomLogger


@dataclass(frozen=True)
class Heard:
    """One event."""

    succeeded: bool
    model: str
    metadata: dict[str, Any]
    response_cost: float | None
    """As in `kwargs`."""
    standard: dict[str, Any]
    """LiteLLM's standard logging object."""
    response: Any

    @property
    def is_composite(self) -> bool:
        """Whether it is the composite's own event, not one of its calls'."""
        return "composite_run" not in self.metadata


class Listener(CustomLogger):
    """Writes down every event; each call is reported once, by the sync or by the async method."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[Heard] = []
        self._since = datetime.now()
        self._changed = threading.Condition()

    def log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        self._note(True, kwargs, response_obj)

    async def async_log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        self._note(True, kwargs, response_obj)

    def log_failure_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        self._note(False, kwargs, response_obj)

    async def async_log_failure_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        self._note(False, kwargs, response_obj)

    def _note(self, succeeded: bool, kwargs: Any, response: Any) -> None:
        if kwargs["start_time"] < self._since:
            # LiteLLM reports in the background: this is the end of an earlier test.
            return
        params = kwargs.get("litellm_params") or {}
        heard = Heard(
            succeeded,
            kwargs.get("model") or "",
            dict(params.get("metadata") or {}),
            kwargs.get("response_cost"),
            dict(kwargs.get("standard_logging_object") or {}),
            response,
        )
        with self._changed:
            self.heard.append(heard)
            self._changed.notify_all()

    def wait(self, condition: Callable[[list[Heard]], bool], timeout_s: float = 30) -> list[Heard]:
        """Block until the events meet a condition."""
        with self._changed:
            assert self._changed.wait_for(lambda: condition(self.heard), timeout_s), self.heard
            return list(self.heard)

    def composite(self) -> Heard:
        """The one event of the composite itself."""
        self.wait(lambda heard: any(event.is_composite for event in heard))
        (event,) = [event for event in self.heard if event.is_composite]
        return event


@contextmanager
def listening() -> Iterator[Listener]:
    """A listener among LiteLLM's callbacks."""
    listener = Listener()
    before = list(litellm.callbacks)
    litellm.callbacks = [*before, listener]
    try:
        yield listener
    finally:
        for name in ("callbacks", "success_callback", "failure_callback", "_async_success_callback",
                     "_async_failure_callback", "input_callback", "_async_input_callback"):  # fmt: skip
            held = getattr(litellm, name, None)
            if isinstance(held, list):
                held[:] = [callback for callback in held if callback is not listener]
        litellm.callbacks = before
