"""One attempt as one LiteLLM call; its response and its errors in our words."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

import litellm

from composite_llm.backend import compat
from composite_llm.backend.cleaning import StreamCleaner, cleaned_message
from composite_llm.backend.fast_openai import install, read_ahead
from composite_llm.backend.inline_reasoning import begins_unopened
from composite_llm.backend.interface import (
    AttemptRequest,
    Choice,
    ChoiceDelta,
    Chunk,
    Message,
    Progress,
    Reply,
    as_nested,
)
from composite_llm.backend.litellm_cost import StreamBill, is_open, plain_bill
from composite_llm.backend.litellm_errors import as_failure
from composite_llm.backend.litellm_facts import LiteLLMFacts
from composite_llm.backend.litellm_huggingface import install_huggingface_windows
from composite_llm.backend.litellm_prices import names_prices, rates_of, told_to_litellm, without_prices
from composite_llm.backend.litellm_raw_chunks import Tap
from composite_llm.backend.litellm_router import RouterInUse
from composite_llm.backend.reentry import ReentryGuard, guarded
from composite_llm.backend.unused_callbacks import install_unheard, unheard
from composite_llm.model.errors import AttemptFailed, Failure, key_missing
from composite_llm.model.messages import points_elsewhere
from composite_llm.model.wellformed import well_formed_value

_MOST_UNOPENED = 256
_SENT_MAX_RETRIES = frozenset({"huggingface"})
"""LiteLLM puts `max_retries` into their bodies."""
_EXTRA_FIELDS = ("system_fingerprint", "service_tier", "citations", "provider_specific_fields")
_DELTA_FIELDS = frozenset(
    (
        "role",
        "content",
        "tool_calls",
        "function_call",
        "reasoning_content",
        "thinking_blocks",
        "reasoning_items",
        "reasoning_details",
        "refusal",
        "audio",
        "images",
        "annotations",
        "provider_specific_fields",
    )
)


class LiteLLMBackend:
    """`Backend` over `litellm.acompletion`, or over a `litellm.Router` for the names it knows."""

    def __init__(self, facts: LiteLLMFacts, router: RouterInUse | None = None) -> None:
        self._router = router or RouterInUse()
        self.fast_openai = True
        install()
        install_unheard()
        install_huggingface_windows()
        self._facts = facts
        # Models, by their endpoint, whose template begins their thoughts for them; bounded.
        self._unopened: dict[tuple[str, str | None], None] = {}

    def endpoint(self, request: AttemptRequest) -> str | None:
        """Host and port that will be asked; unknown for the Router's names, whose deployment it chooses itself."""
        if self.routed(request.model):
            return None
        base = request.params.get("api_base")
        return self._facts.endpoint(request.model, base if isinstance(base, str) else None)

    def routed(self, model: str) -> bool:
        """Whether the Router answers for this name."""
        return self._router.answering(model) is not None

    def nested(self, model: str) -> bool:
        """Whether all that the Router has behind this name are composites."""
        return self._facts.leads_to_composites(model)

    async def complete(self, request: AttemptRequest) -> Reply:
        """One plain attempt.

        Raises:
            AttemptFailed: with what LiteLLM's exception means.
        """
        answered = False
        guard = self._guard(request)
        try:
            with guarded(guard):
                response = await self._call(request, stream=False)
            answered = True
            return self._reply(request, response, nested=getattr(response, "id", None) in guard.reentered)
        except AttemptFailed:
            raise
        except Exception as error:  # noqa: BLE001  # one of the two doors to LiteLLM
            raise AttemptFailed(as_failure(error, self.endpoint(request), answered=answered)) from None

    async def stream(self, request: AttemptRequest) -> AsyncGenerator[Chunk, None]:
        """One streamed attempt.

        Raises:
            AttemptFailed: with what LiteLLM's exception means, or that the stream broke off.
        """
        stream: Any = None
        guard = self._guard(request)
        try:
            with guarded(guard):
                stream = await self._call(request, stream=True)
            if not guard.reentered and is_open(stream):
                yield Chunk(())
            tap = Tap.on(stream)
            place = (request.model, self.endpoint(request))
            cleaner = StreamCleaner(unopened=place in self._unopened)
            bill = StreamBill(self._facts, request, stream)
            async for raw in self._chunks(request, guard, stream, tap):
                chunk = _chunk(raw, bill, cleaner)
                if chunk is not None:
                    yield as_nested(chunk) if guard.reentered and raw.id in guard.reentered else chunk
            if rest := cleaner.rest():
                yield Chunk(rest)
            self._note_unopened(place, unopened=cleaner.unopened)
            if tap is not None and len(tap.finish_reasons) > 1:
                yield Chunk(tuple(ChoiceDelta(index, {}, reason) for index, reason in tap.finish_reasons.items()))
        except AttemptFailed:
            raise
        except Exception as error:  # noqa: BLE001  # one of the two doors to LiteLLM
            raise AttemptFailed(as_failure(error, self.endpoint(request), answered=stream is not None)) from None
        finally:
            if stream is not None:
                await _close(stream)
        if _broke_off(stream):
            where = self.endpoint(request)
            raise AttemptFailed(
                Failure("unavailable", f"{where + ' ' if where else ''}ended its stream without finishing the answer")
            )

    def _chunks(self, request: AttemptRequest, guard: ReentryGuard, stream: Any, tap: Tap | None) -> Any:
        if self.routed(request.model):
            # Only a Router has others answer once a stream has begun.
            return _read_within(guard, stream)
        return read_ahead(stream, tap, request.params)

    def _guard(self, request: AttemptRequest) -> ReentryGuard:
        # A Router's deployment says itself how often the SDK is to try.
        return ReentryGuard(request.scope, fast=self.fast_openai, once=not self.routed(request.model))

    async def _call(self, request: AttemptRequest, *, stream: bool) -> Any:
        params = self._params(request)
        if (variable := self._facts.missing_key(request.model, params)) is not None:
            raise AttemptFailed(key_missing(variable))
        if stream:
            params |= {"stream": True, "stream_options": {"include_usage": True}}
        if params.get("tools"):
            # Without it LiteLLM imports the package `mcp`, which a plain install lacks.
            params[compat.SKIP_MCP] = True
        if request.unique and litellm.cache is not None:
            params["cache"] = {"no-cache": True}
        if request.trace_id:
            params["litellm_trace_id"] = request.trace_id
        if request.session_id:
            params["litellm_session_id"] = request.session_id
        call = {
            "model": request.model,
            "messages": list(request.messages),
            "timeout": request.timeout_s,
            "metadata": dict(request.metadata),
            **params,
        }
        if points_elsewhere(request.messages):
            # For some providers LiteLLM fetches an image before it asks them, however long its server takes.
            request.progress.fetching = True
            call["logger_fn"] = _noted_as_sent(request.progress)
        self._facts.note_local(request.model, params)
        router = self._router.answering(request.model)
        if names_prices(request.params):
            call = _booked_at_its_own_prices(call, request, routed=router is not None)
        if router is not None:
            return await router.acompletion(**call)
        provider = self._facts.provider(request.model, params)
        with unheard(params, provider):
            return await litellm.acompletion(**_tried_once(call, provider))

    def _params(self, request: AttemptRequest) -> dict[str, Any]:
        if self.routed(request.model):
            # Which deployment will answer is the Router's choice, and so is what it takes.
            return {**request.params, **({"drop_params": True} if request.inherited else {})}
        return {
            name: value
            for name, value in request.params.items()
            if name not in request.inherited or self._facts.takes_parameter(request.model, name, value)
        }

    def _reply(self, request: AttemptRequest, response: Any, *, nested: bool) -> Reply:
        choices = tuple(
            Choice(
                index=choice.index,
                message=self._cleaned(request, _in_place(_message(choice.message))),
                finish_reason=choice.finish_reason,
                logprobs=_well_formed_logprobs(getattr(choice, "logprobs", None)),
            )
            for choice in response.choices
        )
        if not choices:
            raise AttemptFailed(Failure("malformed", "sent an answer without choices"))
        bill = plain_bill(self._facts, request, response)
        return Reply(
            choices=choices,
            usage=bill.usage,
            cost_usd=bill.cost_usd,
            model=well_formed_value(getattr(response, "model", None)),
            extra=_extra(_fields(response)),
            usage_reported=bill.told,
            nested=nested,
        )

    def _cleaned(self, request: AttemptRequest, message: Message) -> Message:
        cleaned = cleaned_message(message)
        said = message.get("content")
        if cleaned is not message and isinstance(said, str) and begins_unopened(said):
            self._note_unopened((request.model, self.endpoint(request)), unopened=True)
        return cleaned

    def _note_unopened(self, place: tuple[str, str | None], *, unopened: bool) -> None:
        """Remember it for the streams to come: what was passed on as answer cannot be taken back."""
        if not unopened:
            self._unopened.pop(place, None)
        elif len(self._unopened) < _MOST_UNOPENED:
            self._unopened[place] = None


def _tried_once(call: dict[str, Any], provider: str | None) -> dict[str, Any]:
    """The call without LiteLLM's retries and its clients'."""
    once = {**call, "max_retries": 0, "num_retries": 0}
    if provider in _SENT_MAX_RETRIES:
        once["additional_drop_params"] = [*(call.get("additional_drop_params") or ()), "max_retries"]
    return once


async def _read_within(guard: ReentryGuard, stream: Any) -> AsyncGenerator[Any, None]:
    chunks = aiter(stream)
    while True:
        with guarded(guard):
            try:
                chunk = await anext(chunks)
            except StopAsyncIteration:
                return
        yield chunk


def _noted_as_sent(progress: Progress) -> Callable[[Any], None]:
    """What LiteLLM tells of the call when it leaves."""

    def sent(_: Any) -> None:
        progress.fetching = False

    return sent


def _booked_at_its_own_prices(call: dict[str, Any], request: AttemptRequest, *, routed: bool) -> dict[str, Any]:
    """The call with the prices of its node in a form that leaves those of other calls of the same model alone."""
    bare = without_prices(call)
    rates = rates_of(request.params, request.model)
    if routed or rates is None:
        # LiteLLM would take them for the deployment's, or for the model's.
        return bare
    params, metadata = told_to_litellm(request.model, rates)
    return {**bare, **params, "metadata": {**call["metadata"], **metadata}}


def _chunk(raw: Any, bill: StreamBill, cleaner: StreamCleaner) -> Chunk | None:
    said = tuple([_choice_delta(choice) for choice in raw.choices])
    choices = cleaner.clean(said)
    fields = _fields(raw)
    usage = fields.get("usage")
    if usage is None:
        # LiteLLM's own chunk can be passed on only where nothing in it was changed.
        return Chunk(choices, raw=raw if choices is said else None, extra=_extra(fields)) if choices else None
    found = bill.of(usage)
    if not found.told:
        return Chunk(choices, extra=_extra(fields)) if choices else None
    return Chunk(choices, usage=found.usage, cost_usd=found.cost_usd, raw=raw, extra=_extra(fields))


def _choice_delta(choice: Any) -> ChoiceDelta:
    fields = _fields(choice)
    delta: Message = {}
    for name, value in _fields(fields["delta"]).items():
        if value is not None and name in _DELTA_FIELDS:
            delta[name] = value if isinstance(value, str) else _plain(value)
    if "provider_specific_fields" in delta:
        delta = _in_place(delta)
    return ChoiceDelta(fields["index"], delta, fields["finish_reason"], _plain(fields.get("logprobs")))


def _message(message: Any) -> Message:
    return {name: _plain(value) for name, value in _fields(message).items() if value is not None}


def _in_place(message: Message) -> Message:
    """The message with what LiteLLM moves, or repeats, among a provider's own fields in its place."""
    own = message.get("provider_specific_fields")
    if not isinstance(own, Mapping) or _MOVED.isdisjoint(own):
        return message
    moved = {name: own[name] for name in _MOVED if own.get(name) and not message.get(name)}
    rest = {name: value for name, value in own.items() if name not in _MOVED}
    others = {name: value for name, value in message.items() if name != "provider_specific_fields"}
    return {**others, **moved, **({"provider_specific_fields": rest} if rest else {})}


_MOVED = frozenset({"refusal", "thinking_blocks", "reasoning_content", "reasoning_details"})


def _fields(response: Any) -> Mapping[str, Any]:
    """What a LiteLLM object holds. Asking pydantic for an attribute that is absent, or not declared, costs ten times as much."""
    extra = response.model_extra
    return {**vars(response), **extra} if extra else vars(response)


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return [_plain(item) for item in value]
    dump = getattr(value, "model_dump", None)
    return dump(exclude_none=True) if dump is not None else value


def _extra(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: well_formed_value(fields[name]) for name in _EXTRA_FIELDS if fields.get(name)}


def _well_formed_logprobs(logprobs: Any) -> Any:
    # A token may be half an emoji.
    plain = _plain(logprobs)
    mended = well_formed_value(plain)
    return logprobs if mended is plain else mended


def _broke_off(stream: Any) -> bool:
    """Whether a stream ended without any finish reason; LiteLLM makes one up for the caller then."""
    if type(stream) is not litellm.CustomStreamWrapper:
        # The Router's wrapper inherits the fields and never fills them.
        return False
    reasons = (compat.RECEIVED_FINISH, compat.INTERMITTENT_FINISH)
    if not all(hasattr(stream, name) for reason in reasons for name in reason.names):
        # Another LiteLLM, which keeps them elsewhere.
        return False
    return all(reason.of(stream) is None for reason in reasons)


async def _close(stream: Any) -> None:
    """End the connection, also when we are being cancelled ourselves."""
    close = getattr(stream, "aclose", None)
    if close is None:
        return
    task = asyncio.current_task()
    cancelled_before = task.cancelling() if task is not None else 0
    with contextlib.suppress(Exception):  # closing is best effort
        await close()
    if task is not None and task.cancelling() > cancelled_before:
        # LiteLLM swallows a cancellation that arrives while it closes.
        raise asyncio.CancelledError
