"""One run: strategy, budget, deadline, trace; as one reply, or as a stream of what happens."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from composite_llm.backend.interface import Choice, ChoiceDelta, Chunk, Message, Reply
from composite_llm.config.plan import Plan
from composite_llm.config.stage_spec import StageSpec
from composite_llm.engine import gate
from composite_llm.engine.answer import Stopped, ToolPolicy, answer
from composite_llm.engine.budget import Budget
from composite_llm.engine.cost_bounds import Caps
from composite_llm.engine.output_checks import OutputCheck
from composite_llm.engine.recorder import Recorder
from composite_llm.engine.retry_cache import CachedAnswers
from composite_llm.engine.scope import Scope
from composite_llm.engine.subcall import is_blank
from composite_llm.engine.threads import in_daemon_thread
from composite_llm.engine.tool_turn_cache import ToolTurnCache
from composite_llm.engine.tools import executor_of
from composite_llm.model.errors import BudgetExceeded, CompositeError, FinalCallFailed, RunTimeout
from composite_llm.model.events import AnswerChosen, Event, RunStarted, StageDone, StageStarted
from composite_llm.model.schema_bounds import check_schemas, has_much
from composite_llm.model.trace import CANCELLED, Trace
from composite_llm.observe.observer import RunInfo
from composite_llm.run.context import Caller, Services
from composite_llm.run.nesting import NestingBackend
from composite_llm.run.preflight import check_before_start, close_gate, count_beforehand, is_long
from composite_llm.run.spending_limits import check_countable, check_spending
from composite_llm.run.turn import UserTurn, request_key
from composite_llm.strategies import Deliberation, Strategy, strategy_for
from composite_llm.strategies.aggregation import chosen, problem
from composite_llm.strategies.fences import run_secret
from composite_llm.strategies.worst_cases import gate_and_final

Item = Event | Chunk | Reply
_T = TypeVar("_T")


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
        close_gate(self._strategy, services.facts)
        if caller.stored_answers is None:
            # Else its members are not asked, and need no key and no window.
            check_before_start(self._strategy, messages, services.facts, nested=caller.parent is not None)
        check_countable(plan.options, services.spending)
        self._turn = UserTurn(self._strategy, messages, services.store, caller.owner)
        self._tool_turns = ToolTurnCache(services.tool_turns, caller.owner)
        self._tools = ToolPolicy(
            executor_of(plan.options.tool_executor, services.tool_executors), plan.options.max_tool_rounds
        )
        self._scope: Scope | None = None
        self._stages_finished: list[str] = []
        self._error: str | None = None
        self._error_class: str | None = None
        self._key: str | None = None
        self._told: RunInfo | None = None
        self._final_trace: Trace | None = None
        self._deliberation = Deliberation("")
        self._spoken: tuple[str, ...] = ()
        """What the caller has seen of the gate's text."""
        self._added: tuple[Message, ...] = ()
        """The tool rounds of the gate."""
        # A stream starts when it is first read, perhaps in another context than the caller's, who is here now.
        self._callers_context = contextvars.copy_context() if services.observers else None

    @property
    def trace(self) -> Trace | None:
        """What has been done until now; None before the start."""
        if self._final_trace is not None or self._scope is None:
            return self._final_trace
        return self._scope.recorder.trace(
            self.plan.options.strategy,
            self.plan.logical_model,
            self._strategy.title,
            self._error,
            self._error_class,
            run_id=self.id,
            below=self._scope.parent_id,
        )

    @property
    def nested(self) -> bool:
        """Whether it is part of a run around it, to whose record its calls belong."""
        return self._caller.parent is not None

    def blames_models(self, error: CompositeError) -> bool:
        """Whether the models of this run are the reason of its error, rather than who asked."""
        chosen = self._caller.chose_time if isinstance(error, RunTimeout) else self._caller.chose_models
        return error.is_providers and not chosen

    @property
    def endpoints(self) -> frozenset[str]:
        """Hosts and ports that it has asked until now, nested runs' included."""
        calls = self._scope.recorder.calls if self._scope is not None else ()
        return frozenset(attempt.endpoint for call in calls for attempt in call.attempts if attempt.endpoint)

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
            scope = self._open_scope(self._note, watched=self._observed)
            self._tell_start(streamed=False)
            async with asyncio.timeout_at(scope.deadline):
                deliberation = await self._deliberated(scope)
                if self.result is not None:
                    return self.result
                if not self._chooses(deliberation):
                    self._note(self._started(self._strategy.final_stage))
                async with contextlib.aclosing(self._answer(scope, deliberation, streamed=False)) as items:
                    async for item in items:
                        if isinstance(item, Reply):
                            self.result = item
        assert self.result is not None
        return self.result

    async def _deliberated(self, scope: Scope) -> Deliberation:
        """The gate and the stages, plain; nothing came of them where the run has its result."""
        if (stage := self._gate_for(scope)) is None:
            return await self._turn.deliberation(scope)
        if (earlier := await self._turn.earlier(scope)) is not None:
            return earlier
        self._note(self._started(stage))
        async with contextlib.aclosing(self._gated(scope, stage, streamed=False)) as items:
            async for _ in items:
                pass
        return await self._turn.new(scope) if self.result is None else Deliberation(scope.secret)

    async def deliberate(self) -> Deliberation:
        """The stages before the final call alone; nobody who observes runs is told.

        Raises:
            CompositeError: with the `trace` of what was done.
        """
        with self._accounted():
            await self._permitted()
            scope = self._open_scope(lambda _event: None, watched=False)
            async with asyncio.timeout_at(scope.deadline):
                return await self._turn.deliberation(scope)

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
            self._tell_start(streamed=True)
            yield RunStarted(self.notes)
            try:
                async with contextlib.aclosing(self._before_final(scope, queue)) as before:
                    async for item in before:
                        yield item
                if self.result is not None:
                    return
                if not self._chooses(self._deliberation):
                    self._note(started := self._started(self._strategy.final_stage))
                    yield started
                async with contextlib.aclosing(self._answer(scope, self._deliberation, streamed=True)) as items:
                    async for item in items:
                        for event in _waiting(queue):
                            yield event
                        if isinstance(item, Reply):
                            self.result = item
                        yield item
            except CompositeError:
                # Who watches sees what failed before the stream ends with the error.
                for event in _waiting(queue):
                    yield event
                raise

    async def _before_final(self, scope: Scope, queue: asyncio.Queue[Event | None]) -> AsyncGenerator[Item, None]:
        """The gate and the stages, streamed: leaves the run's result, or the deliberation for the final call."""
        make = self._turn.deliberation
        if (stage := self._gate_for(scope)) is not None:
            earlier = await self._in_time(scope, self._turn.earlier(scope))
            if earlier is not None:
                self._deliberation = earlier
                return
            self._note(started := self._started(stage))
            yield started
            async with contextlib.aclosing(self._gated(scope, stage, streamed=True)) as items:
                async for item in items:
                    for event in _waiting(queue):
                        yield event
                    yield item
            if self.result is not None:
                return
            make = self._turn.new
        deliberating = asyncio.ensure_future(self._in_time(scope, make(scope)))
        deliberating.add_done_callback(lambda _: queue.put_nowait(None))
        try:
            while (told := await queue.get()) is not None:
                yield told
            self._deliberation = await deliberating
        finally:
            if not deliberating.done():
                deliberating.cancel()
                await asyncio.gather(deliberating, return_exceptions=True)

    async def _permitted(self) -> None:
        """What has to be known before anything is spent, and could not be without waiting."""
        if self._caller.parent is None and has_much(self.plan.params):
            await in_daemon_thread(check_schemas, self.plan.params)
        if is_long(self._messages):
            await in_daemon_thread(count_beforehand, self._strategy, self._messages, self._services.facts)
        if self._caller.permission is not None:
            await self._caller.permission()
        check_spending(self.plan.options, self.plan.logical_model, self._services.spending, datetime.now(UTC))

    async def _in_time(self, scope: Scope, made: Awaitable[_T]) -> _T:
        async with asyncio.timeout_at(scope.deadline):
            return await made

    def _gate_for(self, scope: Scope) -> StageSpec | None:
        """The gate, where its call and a final call after it fit under the run's caps."""
        caps = Caps(scope.budget.calls_left, scope.budget.cost_left_usd)
        fits = caps.none or caps.allow(gate_and_final(self._strategy, scope.facts))
        return self._strategy.gate if fits else None

    async def _gated(self, scope: Scope, stage: StageSpec, *, streamed: bool) -> AsyncGenerator[Chunk | Reply, None]:
        """The final model by itself; without a reply at the end where it asks for a deliberation."""
        self._strategy.messages = await self._tool_turns.found(self._messages)
        bare = self._strategy.final_subcall(scope.facts, Deliberation(scope.secret))
        name = gate.tool_name(bare.params)
        subcall = gate.gate_subcall(bare, name)
        check = OutputCheck(subcall.params) if self.plan.options.validate_output else None
        stopped = None
        why = None
        try:
            async with contextlib.aclosing(
                answer(scope, subcall, replace(self._tools, stops_at=name), streamed=streamed, check=check)
            ) as items:
                async for item in items:
                    if isinstance(item, Stopped):
                        stopped = item
                    elif isinstance(item, Reply) and is_blank(item):
                        why = "gave a blank answer"
                    else:
                        if isinstance(item, Reply):
                            await self._tool_turns.keep(self._messages, item)
                            self.result = item
                        yield item
        except FinalCallFailed as error:
            # An endpoint that refuses the tool may take the final call.
            if error.received_chars or (error.kind != "rejected" and self.plan.options.on_final_failure != "best"):
                raise
            why = "failed"
        if why is not None:
            scope.degrade("gate_failed", f"{why}, so others are asked", stage=stage.name, member=subcall.name)
        if self.result is None:
            self._go_on(scope, stopped, name)

    def _go_on(self, scope: Scope, stopped: Stopped | None, name: str) -> None:
        """The stages follow; what was said and done until now is part of the conversation."""
        for call in scope.recorder.calls:
            if call.stage == gate.STAGE and call.parent_id == scope.parent_id:
                call.final = False
                if stopped is not None and call.content is None:
                    call.content = gate.reason_given(stopped.reply, name)
        if stopped is not None:
            self._spoken, self._added = stopped.spoken, stopped.added
        # Made anew, since it counts the tokens of its messages only once.
        self._strategy = strategy_for(self.plan, [*self._messages, *self._added])
        self._turn = UserTurn(self._strategy, self._messages, self._services.store, self._caller.owner)

    async def _answer(
        self, scope: Scope, deliberation: Deliberation, *, streamed: bool
    ) -> AsyncGenerator[Chunk | Reply, None]:
        if self._chooses(deliberation):
            reply = self._chosen(scope, deliberation)
            if streamed:
                # What was said before it is on its way already.
                rest = reply.message["content"].removeprefix("\n\n".join(self._spoken))
                yield Chunk((ChoiceDelta(0, {"role": "assistant", "content": rest}),))
            yield reply
            return
        self._strategy.messages = [*await self._tool_turns.found(self._messages), *self._added]
        subcall = self._strategy.final_subcall(scope.facts, deliberation)
        check = OutputCheck(subcall.params) if self.plan.options.validate_output else None
        stands_in = self.plan.options.on_final_failure == "best" and bool(deliberation.answers)
        failed = None
        try:
            async with contextlib.aclosing(
                answer(scope, subcall, self._tools, streamed=streamed, check=check, spoken=self._spoken)
            ) as items:
                async for item in items:
                    assert not isinstance(item, Stopped)
                    if stands_in and isinstance(item, Reply) and is_blank(item):
                        failed = "gave a blank answer"
                        continue
                    if isinstance(item, Reply):
                        await self._tool_turns.keep(self._messages, item)
                    yield item
        except (FinalCallFailed, BudgetExceeded) as error:
            if not stands_in or (isinstance(error, FinalCallFailed) and error.received_chars):
                raise
            failed = "failed"
        if failed is None:
            return
        best = deliberation.answers[deliberation.best].name
        detail = f"{failed}; the answer is {best}'s own"
        scope.degrade("final_failed", detail, stage=subcall.stage, member=subcall.name)
        reply = _best(deliberation)
        if streamed:
            yield Chunk((ChoiceDelta(0, {"role": "assistant", "content": reply.message["content"]}),))
        yield reply

    def _chooses(self, deliberation: Deliberation) -> bool:
        """Whether a member's answer is the run's, as it is."""
        return self.plan.options.aggregation != "synthesize" and bool(deliberation.answers)

    def _chosen(self, scope: Scope, deliberation: Deliberation) -> Reply:
        options, form = self.plan.options, self.plan.params.get("response_format")
        place, text, record = chosen(options.aggregation, deliberation, form)
        answer_taken, stage = deliberation.answers[place], deliberation.candidates
        if scope.parent_id is None:
            scope.recorder.aggregation = record
        scope.emit(AnswerChosen(record))
        if len(deliberation.answers) > 1 and record.groups and len(record.groups[0].names) == 1:
            scope.degrade("no_majority", "no two answers say the same", stage=stage)
        if options.validate_output and (wrong := problem(text, form)) is not None:
            scope.degrade("output_invalid", wrong, stage=stage, member=answer_taken.name)
        for call in scope.recorder.calls:
            if (call.stage, call.name, call.parent_id) == (stage, answer_taken.name, scope.parent_id):
                call.final = True
        content = "\n\n".join([*self._spoken, text])
        message = {"role": "assistant", "content": content}
        return Reply((Choice(0, message, "length" if answer_taken.cut_off else "stop"),))

    def _started(self, stage: StageSpec) -> Event:
        return StageStarted(stage.name, (self.plan.final.label,), stage.heading)

    def _note(self, event: Event) -> None:
        if isinstance(event, StageDone):
            self._stages_finished.append(event.stage)
        if self._told is not None and self._observed:
            self._services.observers.run_event(self._told, event)

    @property
    def _observed(self) -> bool:
        return self._caller.parent is None and self._services.observers.listening

    def _tell_start(self, *, streamed: bool) -> None:
        caller = self._caller
        if self._callers_context is None or caller.parent is not None:
            return
        self._told = RunInfo(
            id=self.id,
            strategy=self.plan.options.strategy,
            model=self.plan.logical_model,
            streamed=streamed,
            messages=self._messages,
            metadata=caller.metadata,
            identity=caller.identity,
            trace_id=caller.trace_id,
            session_id=caller.session_id,
            parent_span=caller.parent_span,
            max_cost_usd=self.plan.options.max_cost_usd,
        )
        self._callers_context.run(self._services.observers.run_started, self._told)

    def _tell_end(self) -> None:
        if self._told is not None:
            self._final_trace = self.trace
            assert self._final_trace is not None
            self._services.observers.run_ended(self._told, self._final_trace)

    @contextlib.contextmanager
    def _accounted(self) -> Iterator[None]:
        """Every error that leaves the run says what the run did."""
        try:
            yield
        except TimeoutError:
            error = RunTimeout(self._caller.timeout_s or 0, self._stages_finished, self._waiting_for())
            raise self._with_trace(error) from None
        except CompositeError as error:
            raise self._with_trace(error) from None
        except BaseException as error:
            self._error_class = type(error).__name__
            self._error = CANCELLED if isinstance(error, _CANCELLED) else self._error_class
            if isinstance(error, Exception):
                self._keep_answers()
            raise
        finally:
            self._tell_end()

    def _waiting_for(self) -> list[str]:
        """Who had not replied when the time was over, and where."""
        calls = self._scope.recorder.calls if self._scope is not None else ()
        return [
            f"{call.name} ({attempt.endpoint})" if attempt.endpoint else call.name
            for call in calls
            for attempt in call.attempts[-1:]
            if call.status == "cancelled" and attempt.status == "cancelled"
        ]

    def _with_trace(self, error: CompositeError) -> CompositeError:
        self._error, self._error_class = error.message, type(error).__name__
        error.trace = self.trace
        self._keep_answers()
        return error

    def _keep_answers(self) -> None:
        """Whatever the status: in a stream LiteLLM repeats a 400 too, and so do frameworks that read no statuses."""
        kept = self._scope.answers_to_keep if self._scope is not None else None
        if kept and (key := self._request_key()) is not None:
            self._services.retry_cache.put(key, kept)

    def _open_scope(self, emit: Callable[[Event], None], *, watched: bool = True) -> Scope:
        options, parent, shared = self.plan.options, self._caller.parent, self._caller.shared
        recorder = parent.recorder if parent is not None else Recorder(self.id)
        # A nested run is repeated by the run around it, whose own cache holds its answer.
        cached_answers = self._caller.stored_answers
        if cached_answers is None and parent is None:
            cached_answers = self._cached_answers()
        own_limiter = asyncio.Semaphore(options.max_parallel) if options.max_parallel else None
        timeout_s = self._caller.timeout_s
        deadline = None if timeout_s is None else recorder.clock() + timeout_s
        around = parent.budget if parent is not None else None
        if shared is not None and parent is None:
            shared.hold(options, self._caller.operators_timeout_s, recorder.clock())
            around = shared.budget
            deadline = min((end for end in (deadline, shared.deadline) if end is not None), default=None)
        self._scope = Scope(
            backend=NestingBackend(self._services, Run),
            facts=self._services.facts,
            recorder=recorder,
            budget=Budget(options.max_calls, options.max_cost_usd, around),
            secret=cached_answers.secret if cached_answers is not None else self._new_secret(),
            limiter=(parent.limiter if parent is not None else None) or own_limiter,
            deadline=deadline,
            breakers=self._services.breakers,
            endpoint_refusals=self._services.endpoint_refusals,
            positional_ballots=self._services.positional_ballots,
            cached_answers=cached_answers,
            emit=emit,
            watched=watched,
            stream_members=options.stream_members,
            parent_id=parent.parent_id if parent is not None else None,
            ancestors=(*(parent.ancestors if parent is not None else ()), self.plan.logical_model),
            metadata=self._caller.metadata,
            owner=self._caller.owner,
            trace_id=self._caller.trace_id,
            session_id=self._caller.session_id,
            client_timeout_s=parent.client_timeout_s if parent is not None else timeout_s,
            drain_s=parent.drain_s if parent is not None else self._caller.drain_s,
        )
        if parent is not None and parent.parent_id is not None:
            recorder.nest(parent.parent_id, self.plan.logical_model)
        if parent is None:
            recorder.notes = self.notes
            self._scope = replace(self._scope, answers_to_keep=CachedAnswers(self._scope.secret))
        return self._scope

    def _new_secret(self) -> str:
        return run_secret(self.plan.options.seed, self.plan.logical_model, self._messages)

    def _request_key(self) -> str | None:
        """None where nobody is known who could ask for the same again."""
        owner = self._caller.owner
        if self._key is None and owner is not None:
            self._key = request_key(self.plan, self._messages, owner)
        return self._key

    def _cached_answers(self) -> CachedAnswers | None:
        # The digest of a long conversation is not free, and there is hardly ever something to find.
        key = self._request_key() if len(self._services.retry_cache) else None
        return self._services.retry_cache.take(key) if key is not None else None


_CANCELLED = (asyncio.CancelledError, GeneratorExit)
"""How a run ends whose caller has gone."""


def _waiting(queue: asyncio.Queue[Event | None]) -> Iterator[Event]:
    while not queue.empty():
        if (event := queue.get_nowait()) is not None:
            yield event


def _best(deliberation: Deliberation) -> Reply:
    message = {"role": "assistant", "content": deliberation.answers[deliberation.best].text}
    return Reply((Choice(0, message, "stop"),))
