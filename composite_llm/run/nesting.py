"""Composites as nodes of composites."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import replace
from typing import Protocol

from composite_llm.backend.interface import AttemptRequest, ChoiceDelta, Chunk, Message, Reply, as_nested
from composite_llm.config.plan import Plan, make_plan
from composite_llm.engine.scope import Scope
from composite_llm.model.errors import (
    AttemptFailed,
    CompositeError,
    Failure,
    FailureKind,
    FinalCallFailed,
    InvalidOutput,
    QuorumNotMet,
)
from composite_llm.model.events import Event
from composite_llm.model.model_strings import is_composite_model
from composite_llm.model.summary import event_text
from composite_llm.run.context import Caller, Services


class NestedRun(Protocol):
    """What is needed of a run to nest it."""

    async def reply(self) -> Reply:
        """The whole run, plain."""
        ...

    def items(self) -> AsyncGenerator[Event | Chunk | Reply, None]:
        """The whole run, streamed."""
        ...


MakeRun = Callable[[Plan, Sequence[Message], Services, Caller], NestedRun]


class NestingBackend:
    """Runs a node that is a composite in place, within the caps and the trace of the run around it; sends the rest on.

    Args:
        services: Whose backend takes the rest.
        make_run: Makes a run.
    """

    def __init__(self, services: Services, make_run: MakeRun) -> None:
        self._services = services
        self._make_run = make_run

    def routed(self, model: str) -> bool:
        """As the backend below."""
        return self._services.backend.routed(model)

    def endpoint(self, request: AttemptRequest) -> str | None:
        """As the backend below; a composite has none of its own."""
        return None if _is_composite(request) else self._services.backend.endpoint(request)

    def nested(self, model: str) -> bool:
        """A composite by its model string, or a name below that leads to one."""
        return is_composite_model(model) or self._services.backend.nested(model)

    async def complete(self, request: AttemptRequest) -> Reply:
        """One plain attempt, or one nested run."""
        if not _is_composite(request):
            return await self._services.backend.complete(request)
        try:
            reply = await self._nested(request).reply()
        except CompositeError as error:
            raise AttemptFailed(_as_failure(error)) from None
        return replace(reply, nested=True)

    async def stream(self, request: AttemptRequest) -> AsyncGenerator[Chunk, None]:
        """The same, streamed; what a nested run tells is its model's reasoning."""
        if not _is_composite(request):
            async with contextlib.aclosing(self._services.backend.stream(request)) as chunks:
                async for chunk in chunks:
                    yield chunk
            return
        try:
            async with contextlib.aclosing(self._nested(request).items()) as items:
                async for item in items:
                    if isinstance(item, Chunk):
                        yield as_nested(item)
                    elif not isinstance(item, Reply) and (text := event_text(item)):
                        yield Chunk((ChoiceDelta(0, {"reasoning_content": text}),), nested=True)
        except CompositeError as error:
            raise AttemptFailed(_as_failure(error)) from None

    def _nested(self, request: AttemptRequest) -> NestedRun:
        scope = request.scope
        assert isinstance(scope, Scope)
        plan = make_plan(request.model, request.params, self._services.profiles, ancestors=scope.ancestors)
        left = scope.time_left()
        caller = Caller(
            metadata=scope.metadata,
            trace_id=scope.trace_id,
            session_id=scope.session_id,
            owner=scope.owner,
            timeout_s=min((limit for limit in (plan.timeout_s, left) if limit is not None), default=None),
            parent=scope,
        )
        return self._make_run(plan, request.messages, self._services, caller)


def _is_composite(request: AttemptRequest) -> bool:
    return is_composite_model(request.model)


def _as_failure(error: CompositeError) -> Failure:
    """A nested run's error, as the failure of the attempt that it was."""
    kind = error.kind if isinstance(error, QuorumNotMet | FinalCallFailed) else _KIND_OF_STATUS.get(error.status_code)
    if isinstance(error, InvalidOutput):
        kind = "invalid_output"
    reason = f"{type(error).__name__}: {error.message}"
    return Failure(kind or "unavailable", reason, status_code=error.status_code, error_class=type(error).__name__)


_KIND_OF_STATUS: dict[int, FailureKind] = {
    400: "rejected",
    402: "budget",
    403: "rejected",
    404: "rejected",
    408: "timed_out",
}
