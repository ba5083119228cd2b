"""Roles for several models: who does which task, with a context, a persona and a quota of its own."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, overload

from composite_llm import BudgetExceeded, CompositeError, ExecutionContext, InvalidOption
from composite_llm.work.database import estimated_tokens
from composite_llm.work.errors import WorkError
from composite_llm.work.executor import (
    AllProvidersFailedError,
    Executor,
    believed,
    call_parameters,
    cost_of,
    install,
    table_entry,
    trace_of,
)
from composite_llm.work.sessions import Session, Used


class TooLong(WorkError):
    """A conversation fits into no backend's context window."""


@dataclass(frozen=True, slots=True)
class Backend:
    """A role.

    Attributes:
        model: A model string, a tier or a task, or a composite.
        persona: What it is told to be.
        context_window: Tokens; None: what LiteLLM's table says.
        tasks: Task types that are routed to it.
        max_cost_usd: What it may spend in all, over all sessions of the file; also `max_tokens`, `max_calls`.
        options: Call parameters, such as `temperature`.
    """

    model: str
    persona: str | None = None
    context_window: int | None = None
    tasks: tuple[str, ...] = ()
    max_cost_usd: float | None = None
    max_tokens: int | None = None
    max_calls: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ChatResponse:
    """An answer: its text, who gave it (backend and model), what it used, and what the model wants called."""

    content: str
    backend: str
    model: str
    used: Used
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    finish_reason: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ChatChunk:
    """A piece of a streamed answer: `delta` has text, `tool_call` a call's piece, `usage` what was used, `error` a sentence."""

    kind: Literal["delta", "tool_call", "usage", "error", "done"]
    backend: str
    text: str = ""
    tool_call: Mapping[str, Any] | None = None
    used: Used | None = None


class Orchestrator:
    """Several backends behind one interface.

    Args:
        backends: By role: a model string, or a mapping with `model`, `persona`, `context_window`, `tasks`, quotas.
        executor: Looks tiers and tasks up and makes the calls.
        session: Keeps each backend's context and usage; default: in memory.
        max_cost_usd: What all backends together may spend, over all sessions of the session's file.
        fallback: Who stands in for one that fails, does not fit or has used up its quota: the cheapest or the most
            capable (the dearest) of the others first; or nobody.
    """

    def __init__(
        self,
        backends: Mapping[str, str | Mapping[str, Any] | Backend],
        *,
        executor: Executor | None = None,
        session: Session | None = None,
        max_cost_usd: float | None = None,
        fallback: Literal["cost", "capability", "none"] = "cost",
    ) -> None:
        if not backends:
            raise InvalidOption("backends", "is empty", allowed="at least one role")
        if fallback not in ("cost", "capability", "none"):
            raise InvalidOption("fallback", f"got {fallback!r}", allowed="cost, capability or none", value=fallback)
        self._backends = {name: _backend(name, given) for name, given in backends.items()}
        self._executor = executor or Executor()
        self._session = session or Session("orchestrator", path=":memory:")
        self._cap = max_cost_usd
        self._fallback = fallback

    def route(self, task_type: str | None = None, content_size: int = 0) -> str:
        """The backend for a task whose content has so many tokens: the one of the task, else the first, if it fits.

        Raises:
            TooLong: It fits into none.
        """
        return self._candidates(task_type, content_size)[0]

    @overload
    async def chat(
        self, messages: Sequence[Mapping[str, Any]], task_type: str | None = None, *, stream: Literal[False] = False,
        backend: str | None = None, **options: Any,
    ) -> ChatResponse: ...  # fmt: skip

    @overload
    async def chat(
        self, messages: Sequence[Mapping[str, Any]], task_type: str | None = None, *, stream: Literal[True],
        backend: str | None = None, **options: Any,
    ) -> AsyncIterator[ChatChunk]: ...  # fmt: skip

    async def chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        task_type: str | None = None,
        *,
        stream: bool = False,
        backend: str | None = None,
        **options: Any,
    ) -> ChatResponse | AsyncIterator[ChatChunk]:
        """Ask the backend of a task; what it was asked and answered before is in its context already.

        Args:
            messages: What is new.
            task_type: Says who is asked, unless `backend` does.
            stream: Return an iterator of chunks.
            backend: A role.
            options: Call parameters.

        Raises:
            AllProvidersFailedError: It failed, and whoever stands in for it.
            BudgetExceeded: A quota is used up; nothing was asked.
            TooLong: It fits nowhere.
        """
        size = estimated_tokens(json.dumps(list(messages), default=str))
        names = self._candidates(task_type, size, backend)
        allowed = [name for name in names if self._refusal(name) is None]
        if not allowed or (self._fallback == "none" and allowed[0] != names[0]):
            raise self._refusal(names[0]) or BudgetExceeded("quota", 0, 0)
        context = ExecutionContext(task_type=task_type, session_id=self._session.id)
        if stream:
            return self._streamed(allowed, messages, context, options)
        attempts: list[Mapping[str, Any]] = []
        for name in allowed:
            try:
                return await self._answered(name, messages, context, options)
            except AllProvidersFailedError as error:
                attempts += error.attempts
        raise AllProvidersFailedError(attempts)

    def set_persona(self, backend: str, persona: str) -> None:
        """What a backend is told to be, from now on."""
        self._session.set_persona(self._known(backend), persona)

    def reset_persona(self, backend: str) -> None:
        """Back to the persona that it was set up with."""
        self._session.reset_persona(self._known(backend))

    def reset_backend_context(self, backend: str) -> None:
        """Forget what a backend was asked and answered."""
        self._session.reset(self._known(backend))

    def usage(self, backend: str | None = None) -> Used:
        """What a backend has used in all, or all of them."""
        return self._session.used(self._known(backend) if backend is not None else None, all_sessions=True)

    async def _answered(
        self, name: str, messages: Sequence[Mapping[str, Any]], context: ExecutionContext, options: Mapping[str, Any]
    ) -> ChatResponse:
        await self._compacted(name)
        try:
            answer = await self._executor.chat(self._asked(name, messages), context, **self._options(name, options))
        except AllProvidersFailedError as error:
            costs = [attempt.get("cost_usd") for attempt in error.attempts]
            spent = sum(cost for cost in costs if cost is not None)
            self._session.add_used(name, Used(len(costs), 0, 0, spent))
            raise
        used = Used(1, answer.tokens_input, answer.tokens_output, answer.cost_estimate)
        calls = tuple(answer.metadata.get("tool_calls", ()))
        self._remember(name, messages, answer.content, calls, used)
        finish = answer.metadata.get("finish_reason")
        return ChatResponse(answer.content, name, answer.model_id, used, calls, finish, answer.metadata)

    async def _streamed(
        self,
        names: Sequence[str],
        messages: Sequence[Mapping[str, Any]],
        context: ExecutionContext,
        options: Mapping[str, Any],
    ) -> AsyncIterator[ChatChunk]:
        """One backend's chunks; another stands in as long as nothing was shown."""
        for place, name in enumerate(names):
            texts: list[str] = []
            calls: list[Mapping[str, Any]] = []
            await self._compacted(name)
            try:
                async for chunk in self._chunks(name, messages, context, options):
                    if chunk.kind == "delta":
                        texts.append(chunk.text)
                    if chunk.kind == "tool_call" and chunk.tool_call is not None:
                        calls.append(chunk.tool_call)
                    if chunk.used is not None:
                        self._remember(name, messages, "".join(texts), (), chunk.used)
                    yield chunk
            except Exception as error:  # noqa: BLE001  # whatever a provider's library raises is this backend's failure
                trace = trace_of(error)
                spent = trace.cost_usd if trace is not None else 0.0
                self._session.add_used(name, Used(1, 0, 0, spent))
                if place + 1 < len(names) and not texts and not calls:
                    continue
                yield ChatChunk("error", name, text=getattr(error, "message", "") if trace else type(error).__name__)
                return
            except BaseException:
                # Closed or cancelled half-way: what it cost is not told any more.
                self._session.add_used(name, Used(1, 0, 0, None))
                raise
            yield ChatChunk("done", name)
            return

    async def _chunks(
        self, name: str, messages: Sequence[Mapping[str, Any]], context: ExecutionContext, options: Mapping[str, Any]
    ) -> AsyncIterator[ChatChunk]:
        import litellm

        settings = {"stream": True, "stream_options": {"include_usage": True}, **self._executor.options}
        given = self._options(name, options)
        model = given.pop("model")
        parameters = call_parameters(model, context, {**settings, **given})
        parameters = {key: value for key, value in parameters.items() if not key.startswith("own_")}
        install()
        stream: Any = await litellm.acompletion(messages=self._asked(name, messages), **parameters)
        usage: Any = None
        async for chunk in stream:
            usage = getattr(chunk, "usage", None) or usage
            delta = chunk.choices[0].delta if chunk.choices else None
            if delta is not None and delta.content:
                yield ChatChunk("delta", name, text=delta.content)
            for call in (delta.tool_calls or ()) if delta is not None else ():
                yield ChatChunk("tool_call", name, tool_call=call.model_dump())
        composite = trace_of(stream) is not None
        cost = cost_of(stream, model) if composite else believed(getattr(usage, "cost", None), model)
        used = Used(1, getattr(usage, "prompt_tokens", 0) or 0, getattr(usage, "completion_tokens", 0) or 0, cost)
        yield ChatChunk("usage", name, used=used)

    async def _compacted(self, name: str) -> None:
        """A summary of what is over the budget; without one the oldest is left out."""
        with contextlib.suppress(CompositeError):
            await self._session.compact(name, self._executor)

    def _asked(self, name: str, messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        known = self._session.context(name)
        persona = self._backends[name].persona
        if persona is not None and self._session.persona(name) is None:
            known.insert(0, {"role": "system", "content": persona})
        return [*known, *(dict(message) for message in messages)]

    def _options(self, name: str, options: Mapping[str, Any]) -> dict[str, Any]:
        backend = self._backends[name]
        model, _ = self._executor.models.resolved(backend.model)
        given = {"model": model, **backend.options, **options}
        left = [cap - (used.cost_usd or 0.0) for cap, used in self._caps(name) if cap is not None]
        return {**given, "max_cost_usd": min(left)} if left and model.startswith("composite/") else given

    def _remember(
        self,
        name: str,
        messages: Sequence[Mapping[str, Any]],
        answer: str,
        calls: Sequence[Mapping[str, Any]],
        used: Used,
    ) -> None:
        self._session.add_used(name, used)
        for message in messages:
            self._session.append(message, name)
        said = {"role": "assistant", "content": answer, **({"tool_calls": list(calls)} if calls else {})}
        self._session.append(said, name)

    def _candidates(self, task_type: str | None, size: int, backend: str | None = None) -> list[str]:
        """The one that is meant, then those that may stand in, as far as they fit."""
        of_task = next((name for name, one in self._backends.items() if task_type and task_type in one.tasks), None)
        named = task_type if task_type in self._backends else None
        first = self._known(backend) if backend is not None else of_task or named or next(iter(self._backends))
        sign = 1 if self._fallback == "cost" else -1
        others = sorted((name for name in self._backends if name != first), key=lambda name: sign * self._price(name))
        fitting = [name for name in (first, *others) if self._fits(name, size)]
        if not fitting or (self._fallback == "none" and fitting[0] != first):
            raise TooLong(
                f"about {size} tokens fit into no backend's context window; there are {', '.join(self._backends)}"
            )
        return fitting if self._fallback != "none" else [first]

    def _fits(self, name: str, size: int) -> bool:
        window = self._backends[name].context_window or self._known_of(name).get("max_input_tokens")
        held = estimated_tokens(json.dumps(self._session.context(name)))
        return window is None or size + held <= window

    def _price(self, name: str) -> float:
        """Of a token; composites and whatever has no price come last when the cheapest is wanted."""
        price = self._known_of(name).get("output_cost_per_token")
        return float(price) if price is not None else math.inf

    def _known_of(self, name: str) -> Mapping[str, Any]:
        return table_entry(self._executor.models.resolved(self._backends[name].model)[0])

    def _caps(self, name: str) -> list[tuple[float | None, Used]]:
        project = self._session.used(all_sessions=True)
        return [(self._backends[name].max_cost_usd, self.usage(name)), (self._cap, project)]

    def _refusal(self, name: str) -> BudgetExceeded | None:
        """Why a backend may not be asked any more."""
        backend, used = self._backends[name], self.usage(name)
        counted = [("max_calls", backend.max_calls, used.calls)]
        counted.append(("max_tokens", backend.max_tokens, used.tokens_input + used.tokens_output))
        for limit, cap, number in counted:
            if cap is not None and number >= cap:
                return BudgetExceeded(f"{limit} of backend {name}", cap, number)
        for (money, spent), whose in zip(self._caps(name), (f"backend {name}", "the project"), strict=True):
            if money is not None and (spent.cost_usd is None or spent.cost_usd >= money):
                detail = "; the price of a call is unknown" if spent.cost_usd is None else ""
                return BudgetExceeded(f"max_cost_usd of {whose}", money, spent.cost_usd or 0.0, detail)
        return None

    def _known(self, backend: str) -> str:
        if backend not in self._backends:
            raise InvalidOption("backend", f"got {backend!r}", allowed=", ".join(self._backends), value=backend)
        return backend


def _backend(name: str, given: str | Mapping[str, Any] | Backend) -> Backend:
    if isinstance(given, Backend):
        return given
    settings = {"model": given} if isinstance(given, str) else dict(given)
    known = {one.name for one in fields(Backend)}
    unknown = sorted(settings.keys() - known)
    if unknown or not settings.get("model"):
        problem = f"has an unknown key {unknown[0]!r}" if unknown else "has no model"
        raise InvalidOption(f"backends.{name}", problem, allowed=", ".join(sorted(known)))
    return Backend(**{**settings, "tasks": tuple(settings.get("tasks", ()))})
