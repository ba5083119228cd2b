"""One run: strategy, budget, deadline, trace; as one reply, or as a stream of what happens."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from composite_llm.backend.interface import (
    AttemptRequest,
    Backend,
    Choice,
    ChoiceDelta,
    Chunk,
    Message,
    ModelFacts,
    Reply,
)
from composite_llm.backend.store import MemoryStore, ReuseStore
from composite_llm.config.node import COMPOSITE_PREFIX
from composite_llm.config.parameters import CONNECTION, for_every_call
from composite_llm.config.plan import Plan, make_plan
from composite_llm.config.profiles import Profiles
from composite_llm.engine.afford import Caps, worst_call
from composite_llm.engine.answer import ToolPolicy, answer
from composite_llm.engine.breaker import Breakers
from composite_llm.engine.budget import Budget
from composite_llm.engine.fit import fits, window_of
from composite_llm.engine.recorder import Recorder
from composite_llm.engine.reuse import MAX_AGE_S, is_tool_step, turn_key
from composite_llm.engine.salvage import Salvage, SalvageStore
from composite_llm.engine.scope import Scope
from composite_llm.engine.tools import executor_of
from composite_llm.engine.validate import OutputCheck
from composite_llm.engine.want import Want, chain
from composite_llm.errors import (
    AttemptFailed,
    BudgetExceeded,
    CompositeError,
    ContextWindowExceeded,
    Failure,
    FailureKind,
    FinalCallFailed,
    InvalidOption,
    InvalidOutput,
    QuorumNotMet,
    RunTimeout,
)
from composite_llm.events import Event, RunStarted, StageDone, StageStarted
from composite_llm.messages import modalities_in
from composite_llm.strategies import Deliberation, Strategy, strategy_for
from composite_llm.summary import event_text
from composite_llm.trace import Trace

Item = Event | Chunk | Reply


@dataclass(frozen=True, slots=True)
class Caller:
    """What a request brings besides its plan and messages.

    Attributes:
        metadata: The caller's own, identity stripped.
        trace_id: LiteLLM's trace id.
        session_id: LiteLLM's session id.
        identity: Who asks, as a digest may know it: on the proxy the key's hash.
        timeout_s: Limit of the whole run.
        parent: The run around this one, when LiteLLM led a node's call back to us.
        permission: Raises if the caller may not reach the models it chose; asked before anything is spent.
    """

    metadata: Mapping[str, Any] = field(default_factory=dict)
    trace_id: str | None = None
    session_id: str | None = None
    identity: str | None = None
    timeout_s: float | None = None
    parent: Scope | None = None
    permission: Callable[[], Awaitable[None]] | None = None


@dataclass(frozen=True, slots=True)
class Services:
    """What all runs of a process share.

    Attributes:
        backend: Sends attempts at real models.
        facts: What is known about models.
        profiles: Named strategies.
        tool_executors: Executors by the name they were registered under.
        store: Where deliberations are kept for the tool steps that follow them.
        breakers: Which models failed too often just now.
        salvages: What failed runs had been answered.
    """

    backend: Backend
    facts: ModelFacts
    profiles: Profiles = field(default_factory=Profiles)
    tool_executors: Mapping[str, Any] = field(default_factory=dict)
    store: ReuseStore = field(default_factory=MemoryStore)
    breakers: Breakers = field(default_factory=Breakers)
    salvages: SalvageStore = field(default_factory=SalvageStore)


class Run:
    """One request, start to finish. Checked when made; spends nothing before `reply` or `items` is awaited.

    Args:
        plan: The checked plan.
        messages: The caller's messages, cleaned.
        services: What all runs share.
        caller: What else the request brought.
    """

    def __init__(self, plan: Plan, messages: Sequence[Message], services: Services, caller: Caller) -> None:
        self.plan = plan
        self.id = uuid.uuid4().hex
        self.result: Reply | None = None
        self._services = services
        self._caller = caller
        self._messages = messages
        self._strategy: Strategy[Any] = strategy_for(plan, messages)
        self._check_readable()
        self._check_priced()
        self._check_fits()
        self._tools = ToolPolicy(
            executor_of(plan.options.tool_executor, services.tool_executors), plan.options.max_tool_rounds
        )
        self._scope: Scope | None = None
        self._stages_finished: list[str] = []
        self._error: str | None = None
        self._key: str | None = None

    @property
    def trace(self) -> Trace | None:
        """What has been done until now; None before the start."""
        if self._scope is None:
            return None
        return self._scope.recorder.trace(self.plan.options.strategy, self.plan.logical_model, self._error)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know before the run starts."""
        return self._strategy.notes

    async def reply(self) -> Reply:
        """The whole run, plain.

        Raises:
            CompositeError: with the `trace` of what was done.
        """
        with self._accounted():
            await self._permitted()
            scope = self._open_scope(self._note)
            async with asyncio.timeout_at(scope.deadline):
                deliberation = await self._deliberate(scope)
                async with contextlib.aclosing(self._answer(scope, deliberation, streamed=False)) as items:
                    async for item in items:
                        if isinstance(item, Reply):
                            self.result = item
        assert self.result is not None
        return self.result

    async def items(self) -> AsyncGenerator[Item, None]:
        """The whole run, streamed: events and chunks as they come, and last the reply.

        Raises:
            CompositeError: with the `trace` of what was done.
        """
        with self._accounted():
            queue: asyncio.Queue[Event | None] = asyncio.Queue()

            def tell(event: Event) -> None:
                self._note(event)
                queue.put_nowait(event)

            await self._permitted()
            scope = self._open_scope(tell)
            yield RunStarted(self.notes)
            deliberating = asyncio.ensure_future(self._deliberate_in_time(scope))
            deliberating.add_done_callback(lambda _: queue.put_nowait(None))
            try:
                while (event := await queue.get()) is not None:
                    yield event
                deliberation = await deliberating
            finally:
                if not deliberating.done():
                    deliberating.cancel()
                    await asyncio.gather(deliberating, return_exceptions=True)
            yield StageStarted(self._strategy.final_stage, (self.plan.final.label,))
            async with contextlib.aclosing(self._answer(scope, deliberation, streamed=True)) as items:
                async for item in items:
                    while not queue.empty():
                        if (event := queue.get_nowait()) is not None:
                            yield event
                    if isinstance(item, Reply):
                        self.result = item
                    yield item

    async def _permitted(self) -> None:
        if self._caller.permission is not None:
            await self._caller.permission()

    async def _deliberate_in_time(self, scope: Scope) -> Deliberation:
        async with asyncio.timeout_at(scope.deadline):
            return await self._deliberate(scope)

    async def _deliberate(self, scope: Scope) -> Deliberation:
        key = self._turn_key()
        if key is not None and is_tool_step(self._messages):
            kept = await self._kept(key)
            if kept is not None:
                return self._used_again(scope, kept)
        deliberation: Deliberation = await self._strategy.deliberate(scope)
        if scope.recorder.degraded:
            deliberation = replace(deliberation, degraded=tuple(scope.recorder.degraded))
        if key is not None:
            await self._services.store.put(key, deliberation.to_json(), MAX_AGE_S)
        return deliberation

    async def _kept(self, key: str) -> Deliberation | None:
        text = await self._services.store.get(key)
        try:
            return Deliberation.from_json(text) if text is not None else None
        except ValueError:
            # Written by another version; a miss deliberates again.
            return None

    def _used_again(self, scope: Scope, deliberation: Deliberation) -> Deliberation:
        for reason in deliberation.degraded:
            scope.degrade_as(reason)
        if scope.parent_id is None:
            scope.recorder.reused = True
            scope.recorder.ranking = deliberation.ranking
        return deliberation

    def _turn_key(self) -> str | None:
        """Under what this turn's deliberation is kept; None where no tool step can follow it."""
        options = self.plan.options
        if options.fanout != "user_turn" or self._strategy.tools is None:
            return None
        settings = {
            "options": options.model_dump(mode="json", exclude={"tool_executor"}, fallback=str),
            "final": self.plan.final.model_dump(mode="json", fallback=str),
            "params": for_every_call(self.plan.params),
        }
        return turn_key(self._messages, settings, self._caller.identity)

    def _check_priced(self) -> None:
        """Refuse a money cap that cannot be kept."""
        options = self.plan.options
        if options.max_cost_usd is None or options.allow_unpriced:
            return
        facts = self._services.facts
        for node in self._strategy.all_nodes():
            if not node.is_composite and facts.price(node.model, 1, 1) is None:
                raise InvalidOption(
                    "max_cost_usd",
                    f"the price of {node.model} is unknown, so the cap could not be kept",
                    allowed="models with a known price, or allow_unpriced=True",
                )

    def _check_fits(self) -> None:
        """Refuse a conversation that no final node can hold, before money is spent on answers to it."""
        facts, max_tokens = self._services.facts, self.plan.params.get("max_tokens")
        reserve = max_tokens if isinstance(max_tokens, int) else None
        nodes = [node for node in chain(self.plan.final) if not node.is_composite]
        windows = [(node, window_of(facts, node, reserve)) for node in nodes]
        if windows and not any(fits(facts, node.model, self._messages, window) for node, window in windows):
            node, window = windows[0]
            raise ContextWindowExceeded(f"messages: longer than the {window} tokens that {node.model} takes")

    @staticmethod
    def _check_affordable(scope: Scope, want: Want) -> None:
        """Refuse a final call that may cost more than is left."""
        left = scope.budget.cost_left_usd
        if left is None or want.node.is_composite:
            return
        max_tokens = want.params.get("max_tokens")
        prompt = scope.facts.count_tokens(want.node.model, want.messages)
        worst = worst_call(scope.facts, want.node, prompt, max_tokens if isinstance(max_tokens, int) else None)
        if not Caps(cost_usd=left).allow(worst):
            raise scope.budget.exceeded_by(worst.cost_usd)

    def _check_readable(self) -> None:
        """Refuse a conversation with an image, a sound or a file that no member can take."""
        nodes = self._strategy.deliberating
        if any(node.is_composite for node in nodes):
            # It checks its own members.
            return
        for kind in sorted(modalities_in(self._messages)):
            if all(self._services.facts.takes(node.model, kind) is False for node in nodes):
                names = ", ".join(dict.fromkeys(node.model for node in nodes))
                raise InvalidOption("messages", f"holds content of type {kind}, which none of {names} takes")

    async def _answer(
        self, scope: Scope, deliberation: Deliberation, *, streamed: bool
    ) -> AsyncGenerator[Chunk | Reply, None]:
        want = self._strategy.want_final(scope, deliberation)
        check = OutputCheck(want.params) if self.plan.options.validate_output else None
        try:
            self._check_affordable(scope, want)
            async with contextlib.aclosing(answer(scope, want, self._tools, streamed=streamed, check=check)) as items:
                async for item in items:
                    yield item
        except (FinalCallFailed, BudgetExceeded) as error:
            seen = isinstance(error, FinalCallFailed) and error.received_chars
            if self.plan.options.on_final_failure != "best" or seen or not deliberation.answers:
                raise
            scope.degrade(
                "final_failed", f"{want.name} failed; the answer is {deliberation.names[deliberation.best]}'s own"
            )
            reply = _best(deliberation)
            if streamed:
                yield Chunk((ChoiceDelta(0, {"role": "assistant", "content": reply.message["content"]}),))
            yield reply

    def _note(self, event: Event) -> None:
        if isinstance(event, StageDone):
            self._stages_finished.append(event.stage)

    @contextlib.contextmanager
    def _accounted(self) -> Iterator[None]:
        """Every error that leaves the run says what the run did."""
        try:
            yield
        except TimeoutError:
            error = RunTimeout(self._caller.timeout_s or 0, self._stages_finished)
            raise self._with_trace(error) from None
        except CompositeError as error:
            raise self._with_trace(error) from None
        except BaseException as error:
            self._error = type(error).__name__
            raise

    def _with_trace(self, error: CompositeError) -> CompositeError:
        self._error = error.message
        error.trace = self.trace
        kept = self._scope.kept if self._scope is not None else None
        if kept and error.status_code in _REPEATED:
            self._services.salvages.put(self._request_key(), kept)
        return error

    def _open_scope(self, emit: Callable[[Event], None]) -> Scope:
        options, parent = self.plan.options, self._caller.parent
        recorder = parent.recorder if parent is not None else Recorder(self.id)
        # A nested run is repeated by the run around it, whose own salvage holds its answer.
        salvage = self._taken_salvage() if parent is None else None
        own_limiter = asyncio.Semaphore(options.max_parallel) if options.max_parallel else None
        timeout_s = self._caller.timeout_s
        own_deadline = None if timeout_s is None else recorder.clock() + timeout_s
        self._scope = Scope(
            backend=_NestingBackend(self._services),
            facts=self._services.facts,
            recorder=recorder,
            budget=Budget(options.max_calls, options.max_cost_usd, parent.budget if parent is not None else None),
            marker=salvage.marker if salvage is not None else secrets.token_hex(4),
            limiter=(parent.limiter if parent is not None else None) or own_limiter,
            deadline=own_deadline,
            breakers=self._services.breakers,
            salvage=salvage,
            emit=emit,
            parent_id=parent.parent_id if parent is not None else None,
            ancestors=(*(parent.ancestors if parent is not None else ()), self.plan.logical_model),
            metadata=self._caller.metadata,
            trace_id=self._caller.trace_id,
            session_id=self._caller.session_id,
            client_timeout_s=parent.client_timeout_s if parent is not None else timeout_s,
        )
        if parent is None:
            recorder.notes = self.notes
            self._scope = replace(self._scope, kept=Salvage(self._scope.marker))
        return self._scope

    def _taken_salvage(self) -> Salvage | None:
        # The digest of a long conversation is not free, and there is hardly ever something to find.
        return self._services.salvages.take(self._request_key()) if len(self._services.salvages) else None

    def _request_key(self) -> str:
        """The whole request as a digest."""
        if self._key is None:
            plan = self.plan
            settings = {
                "options": plan.options.model_dump(mode="json", exclude={"tool_executor"}, fallback=str),
                "final": plan.final.model_dump(mode="json", fallback=str),
                "params": {key: value for key, value in plan.params.items() if key not in CONNECTION},
                "behind": list(self._messages),
            }
            self._key = turn_key(self._messages, settings, self._caller.identity)
        return self._key


_REPEATED = frozenset({408, 429, 500, 502, 503})
"""Statuses after which clients, and LiteLLM's Router, send the same request again."""


def _best(deliberation: Deliberation) -> Reply:
    message = {"role": "assistant", "content": deliberation.answers[deliberation.best]}
    return Reply((Choice(0, message, "stop"),))


class _NestingBackend:
    """Runs a node that is a composite in place, within the caps and the trace of the run around it; sends the rest on."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routed(self, model: str) -> bool:
        return self._services.backend.routed(model)

    def endpoint(self, request: AttemptRequest) -> str | None:
        return None if _is_composite(request) else self._services.backend.endpoint(request)

    async def complete(self, request: AttemptRequest) -> Reply:
        if not _is_composite(request):
            return await self._services.backend.complete(request)
        run = self._nested(request)
        try:
            reply = await run.reply()
        except CompositeError as error:
            raise AttemptFailed(_as_failure(error)) from None
        return replace(reply, nested=True)

    async def stream(self, request: AttemptRequest) -> AsyncGenerator[Chunk, None]:
        if not _is_composite(request):
            async with contextlib.aclosing(self._services.backend.stream(request)) as chunks:
                async for chunk in chunks:
                    yield chunk
            return
        run = self._nested(request)
        try:
            async with contextlib.aclosing(run.items()) as items:
                async for item in items:
                    if isinstance(item, Chunk):
                        yield item
                    elif not isinstance(item, Reply) and (text := event_text(item)):
                        yield Chunk((ChoiceDelta(0, {"reasoning_content": text}),))
        except CompositeError as error:
            raise AttemptFailed(_as_failure(error)) from None

    def _nested(self, request: AttemptRequest) -> Run:
        scope = request.scope
        assert isinstance(scope, Scope)
        given = {**request.params, "metadata": None}
        try:
            plan = make_plan(request.model, given, self._services.profiles, ancestors=scope.ancestors)
        except CompositeError as error:
            raise AttemptFailed(_as_failure(error)) from None
        left = scope.time_left()
        caller = Caller(
            metadata=scope.metadata,
            trace_id=scope.trace_id,
            session_id=scope.session_id,
            timeout_s=min((limit for limit in (plan.timeout_s, left) if limit is not None), default=None),
            parent=scope,
        )
        return Run(plan, request.messages, self._services, caller)


def _is_composite(request: AttemptRequest) -> bool:
    return request.model.startswith(COMPOSITE_PREFIX)


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
