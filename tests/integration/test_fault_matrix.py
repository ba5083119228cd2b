"""Every fault of the fake server, at every position of both strategies, plain and streamed, with and without a way out.

The cases are generated. What each must come to is computed by the small model of the rules in the first half of this
file; the second half asks LiteLLM and compares.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

import litellm
import pytest
from anyio.from_thread import BlockingPortal

import composite_llm
from composite_llm.model.trace import Attempt, Trace
from fake_server import Record, Scenario, ThreadedServer
from tests.support.asking import KEY, MESSAGES

# --- the rules -----------------------------------------------------------------------------------------------------

SHORT_TIMEOUT_S, LONG_TIMEOUT_S, NO_TIMEOUT_S = 1.0, 6.0, 60.0
LONG_TEXT = " ".join(["word"] * 400)
"""Long enough that a prompt that holds two of them can be made much shorter."""

Kind = Literal[
    "rejected",
    "authentication",
    "not_found",
    "context_window",
    "rate_limited",
    "timed_out",
    "unavailable",
    "malformed",
    "unusable",
]
RETRIED: frozenset[Kind] = frozenset({"rate_limited", "timed_out", "unavailable", "malformed"})
FINAL_STATUS: dict[Kind, int] = {
    "rejected": 400,
    "authentication": 502,
    "not_found": 404,
    "context_window": 400,
    "rate_limited": 429,
    "timed_out": 408,
    "unavailable": 503,
    "malformed": 502,
}
QUORUM_STATUS: dict[Kind, int] = {"rejected": 400, "context_window": 400, "rate_limited": 429, "authentication": 502}
"""When all members failed alike; otherwise 503."""


@dataclass(frozen=True)
class Effect:
    """What one attempt that meets a fault comes to.

    Attributes:
        kind: Its failure; None for an answer.
        status: The upstream's own status, where it goes on to the caller as it is.
        retried: Whether it may be tried again, if not as all of its kind.
        begun: Whether the caller of a stream has seen a part of the answer then.
        told: Whether the client is told the tokens that the server counted.
        blank: Whether there is nothing in the answer.
        cut_off: Whether a token limit ended it.
    """

    kind: Kind | None = None
    status: int | None = None
    retried: bool | None = None
    begun: bool = False
    told: bool = True
    blank: bool = False
    cut_off: bool = False

    @property
    def is_retried(self) -> bool:
        return self.kind in RETRIED if self.retried is None else self.retried


@dataclass(frozen=True)
class Fault:
    """One fault of the fake server.

    Attributes:
        scenario: As the server takes it.
        member: What it comes to at an earlier stage, whose calls are plain, and at a plain final call.
        final: At a plain final call, where it differs.
        streamed: At a streamed final call, where it differs from a plain one.
        times_out: Whether it takes the node's timeout to end it.
    """

    scenario: Mapping[str, Any]
    member: Effect
    final: Effect | None = None
    streamed: Effect | None = None
    times_out: bool = False

    def effect(self, *, final: bool, stream: bool) -> Effect:
        if not final:
            return self.member
        plain = self.final or self.member
        return (self.streamed or plain) if stream else plain


def refused(status: int, kind: Kind, **more: Any) -> Fault:
    own = status if kind == "unavailable" else None
    return Fault({"error": {"status": status, **more}}, Effect(kind, own))


ANSWER = Effect()
BROKEN = Effect("unavailable", told=False)
FAULTS: dict[str, Fault] = {
    "400": refused(400, "rejected"),
    "401": refused(401, "authentication"),
    "403": refused(403, "authentication"),
    "404": refused(404, "not_found"),
    "408": refused(408, "timed_out"),
    "429": refused(429, "rate_limited"),
    "429 at once": refused(429, "rate_limited", retry_after=0),
    "413": refused(413, "context_window"),
    "422": refused(422, "rejected"),
    "504": refused(504, "timed_out"),
    "429 too late": Fault({"error": {"status": 429, "retry_after": 60}}, Effect("rate_limited", retried=False)),
    "500": refused(500, "unavailable"),
    "502": refused(502, "unavailable"),
    "503": refused(503, "unavailable"),
    "hang": Fault({"hang": True}, Effect("timed_out"), times_out=True),
    "hang in the midst": Fault(
        {"hang_after_chunks": 4}, ANSWER, streamed=Effect("timed_out", begun=True, told=False), times_out=True
    ),
    "drop before": Fault({"drop": "before"}, Effect("unavailable")),
    "drop after headers": Fault({"drop": "headers"}, BROKEN),
    "drop in the body": Fault({"drop": "body"}, BROKEN),
    "drop in the midst": Fault(
        {"drop": "mid_stream", "drop_after_chunks": 4},
        BROKEN,
        streamed=Effect("unavailable", begun=True, told=False),
    ),
    "error in the midst": Fault(
        {"error": {"status": 503}, "error_after_chunks": 4},
        Effect("unavailable", 503),
        # Its status is not part of the stream.
        streamed=Effect("unavailable", begun=True, told=False),
    ),
    "malformed": Fault({"malformed_json": True}, Effect("malformed", told=False)),
    "blank": Fault({"blank": True}, Effect("unusable", retried=True, blank=True)),
    "whitespace": Fault({"text": " \n"}, Effect("unusable", retried=True, blank=True)),
    "content filter": Fault(
        {"finish_reason": "content_filter"}, Effect("unusable"), streamed=Effect("unusable", begun=True)
    ),
    "refusal": Fault({"refusal": "No."}, Effect("unusable"), final=ANSWER),
    "tool call": Fault({"tool_calls": [{"name": "look"}]}, Effect("unusable"), final=ANSWER),
    "context window": Fault({"error": {"context_window": True}}, Effect("context_window")),
    "length": Fault({"finish_reason": "length"}, Effect(cut_off=True), final=ANSWER),
    "one body for a stream": Fault({"ignore_stream": True}, ANSWER),
    "blank and length": Fault({"blank": True, "finish_reason": "length"}, Effect("unusable"), final=Effect(blank=True)),
}

Place = Literal["first", "last", "all"]
Way = Literal["none", "retry", "recovers", "fallback", "dead fallback", "best"]
WAYS: tuple[Way, ...] = ("none", "retry", "recovers", "fallback", "dead fallback")


@dataclass(frozen=True)
class Position:
    """Where a fault sits.

    Attributes:
        earlier: Requests that the same node answers before, in an earlier layer.
        reads_answers: Whether the prompt there holds other models' answers.
    """

    strategy: Literal["moa", "council"]
    stage: str
    place: Place = "first"
    layers: int = 1
    earlier: int = 0
    reads_answers: bool = True

    @property
    def final(self) -> bool:
        return self.stage in ("aggregate", "synthesize")

    @property
    def nodes(self) -> int:
        """How many nodes the stage has."""
        return 1 if self.final else {"answer": 3}.get(self.stage, 2)

    @property
    def name(self) -> str:
        return f"{self.strategy} {self.stage} {self.place}"

    def hits(self, index: int) -> bool:
        """Whether the fault is at the stage's node of that index."""
        return self.place == "all" or index == (0 if self.place == "first" else self.nodes - 1)


PLACES: tuple[Place, ...] = ("first", "last", "all")
POSITIONS: tuple[Position, ...] = (
    *(Position("moa", "propose", place, reads_answers=False) for place in PLACES),
    *(Position("moa", "propose-2", place, layers=2, earlier=1) for place in PLACES),
    Position("moa", "aggregate"),
    *(Position("council", "answer", place, reads_answers=False) for place in PLACES),
    *(Position("council", "review", place) for place in PLACES),
    Position("council", "synthesize"),
)


@dataclass(frozen=True)
class Case:
    position: Position
    fault_name: str
    way: Way
    stream: bool

    @property
    def fault(self) -> Fault:
        return FAULTS[self.fault_name]

    @property
    def effect(self) -> Effect:
        return self.fault.effect(final=self.position.final, stream=self.stream)

    @property
    def num_retries(self) -> int:
        return int(self.way in ("retry", "recovers"))

    def __str__(self) -> str:
        kind = "stream" if self.stream else "plain"
        return f"{self.position.name}, {self.fault_name}, {self.way}, {kind}"


@dataclass(frozen=True)
class Expected:
    """What a case must come to; `error` None for an answer. `attempts` are those of each node that has the fault."""

    attempts: int
    codes: frozenset[str] = frozenset()
    error: type[Exception] | None = None
    status: int | None = None


def expected(case: Case) -> Expected:
    effect, position = case.effect, case.position
    squeezes = effect.kind == "context_window" and position.reads_answers and not effect.begun
    codes = {"context_cut"} if squeezes else set()
    # A server that refuses a review may not know the schema of the ballot: it is asked once more without.
    drops_schema = effect.kind == "rejected" and position.stage == "review"
    tried_again = (effect.is_retried and case.num_retries > 0 and not effect.begun) or squeezes or drops_schema
    attempts = 2 if tried_again else 1
    if effect.blank and case.way == "best":
        codes |= {"final_failed"}
    if effect.cut_off:
        codes |= {"member_truncated"}
    if effect.kind is None or (tried_again and case.way == "recovers"):
        return Expected(attempts, frozenset(codes))
    if position.final:
        return _final(case, effect, attempts, codes)
    kind = effect.kind
    if case.way in ("fallback", "dead fallback"):
        codes.add("fallback_used")
        if case.way == "fallback":
            return Expected(attempts, frozenset(codes))
        kind = "not_found"
    codes.add("member_missing")
    if position.stage == "review":
        # The quorum counts answers; a council that cannot vote answers all the same.
        return Expected(attempts, frozenset(codes | {"no_ballot"} if position.place == "all" else codes))
    if position.place == "all":
        return Expected(attempts, frozenset(codes), composite_llm.QuorumNotMet, QUORUM_STATUS.get(kind, 503))
    return Expected(attempts, frozenset(codes))


def _final(case: Case, effect: Effect, attempts: int, codes: set[str]) -> Expected:
    """What has been passed on cannot be taken back; a reply that falls short is better than none."""
    assert effect.kind is not None
    status = effect.status or FINAL_STATUS.get(effect.kind)
    if effect.begun:
        if effect.kind == "unusable":
            return Expected(attempts, frozenset({*codes, "final_unusable"}))
        return Expected(attempts, frozenset(codes), composite_llm.FinalCallFailed, status)
    if case.way in ("fallback", "dead fallback"):
        codes.add("fallback_used")
        status = 404
        if case.way == "fallback":
            return Expected(attempts, frozenset(codes))
    if effect.kind == "unusable":
        return Expected(attempts, frozenset({*codes, "final_unusable"}))
    if case.way == "best":
        return Expected(attempts, frozenset({*codes, "final_failed"}))
    return Expected(attempts, frozenset(codes), composite_llm.FinalCallFailed, status)


# --- the cases -----------------------------------------------------------------------------------------------------


def _representatives() -> frozenset[str]:
    """One fault of each that come to the same: a 502 is treated as a 503 is, but for its number."""
    first: dict[object, str] = {}
    for name, fault in FAULTS.items():
        effects = (fault.member, fault.final, fault.streamed)
        first.setdefault((*(effect and replace(effect, status=None) for effect in effects), fault.times_out), name)
    return frozenset(first.values())


REPRESENTATIVES = _representatives()


def cases_of(position: Position, *, stream: bool) -> list[Case]:
    return [Case(position, fault, way, stream) for fault in FAULTS for way in _ways(position, fault, stream=stream)]


def _ways(position: Position, fault: str, *, stream: bool) -> tuple[Way, ...]:
    representative = fault in REPRESENTATIVES
    if position.final:
        return (*WAYS, "best") if representative else ("none", "recovers")
    if stream:
        # The earlier stages' calls are plain either way.
        return ("none",) if representative else ()
    if position.place == "first":
        return WAYS if representative else ("none", "recovers")
    # Each node is retried alike wherever it stands: what fails and what is left is all that can differ.
    return ("none", "fallback") if representative else ("none",)


def all_cases() -> list[Case]:
    return [case for position in POSITIONS for stream in (False, True) for case in cases_of(position, stream=stream)]


@dataclass
class Arranged:
    """One case as it is asked."""

    model: str
    options: dict[str, Any]
    scenarios: dict[str, dict[str, Any]] = field(default_factory=dict)
    faulty: list[str] = field(default_factory=list)

    def node(self, name: str, scenario: dict[str, Any] | None = None, **settings: Any) -> dict[str, Any]:
        if scenario:
            self.scenarios[name] = scenario
        return {"model": f"openai/{name}", "num_retries": 0, **settings}


def arranged(case: Case, prefix: str) -> Arranged:
    """Every model's name is the case's own, so that cases share neither breakers nor scenarios nor cached answers."""
    position = case.position
    made = Arranged("", {})
    text = {"text": LONG_TEXT} if case.effect.kind == "context_window" else {}

    def nodes(stage: str, size: int, **answer: Any) -> list[dict[str, Any]]:
        return [
            _node(case, made, f"{prefix}-{stage}-{index}", answer, hit=_same(stage, position) and position.hits(index))
            for index in range(size)
        ]

    final = "aggregate" if position.strategy == "moa" else "synthesize"
    (last,) = nodes(final, 1, text="A fine answer, short but whole.")
    made.model = f"composite/{position.strategy}/{last.pop('model')}"
    if position.strategy == "moa":
        made.options = {"proposers": nodes("propose", 2, **text), "aggregator": last, "layers": position.layers}
    else:
        made.options = {"members": nodes("answer", 3, **text), "reviewers": nodes("review", 2), "chairman": last}
    if case.way == "best":
        made.options["on_final_failure"] = "best"
    return made


def _same(stage: str, position: Position) -> bool:
    return position.stage == stage or (stage == "propose" and position.stage == "propose-2")


def _node(case: Case, made: Arranged, name: str, answer: dict[str, Any], *, hit: bool) -> dict[str, Any]:
    if not hit:
        return made.node(name, answer)
    made.faulty.append(name)
    fine: dict[str, Any] = dict(answer)
    steps = [*[fine] * case.position.earlier, dict(case.fault.scenario)]
    if case.way == "recovers":
        steps.append(fine)
    settings: dict[str, Any] = {"num_retries": case.num_retries}
    if case.fault.times_out:
        settings["timeout"] = _node_timeout_s(case)
    if case.way in ("fallback", "dead fallback"):
        dead = {"error": {"status": 404}} if case.way == "dead fallback" else answer
        settings["fallbacks"] = [made.node(f"{name}-fallback", dead)]
    return made.node(name, {"sequence": steps} if len(steps) > 1 else steps[0], **settings)


def _node_timeout_s(case: Case) -> float:
    """No longer than needed; long enough where the same node also has to answer, however busy the machine is."""
    if case.effect.kind is None:
        return NO_TIMEOUT_S
    answers_too = case.position.earlier or case.way == "recovers" or case.effect.begun
    return LONG_TIMEOUT_S if answers_too else SHORT_TIMEOUT_S


@dataclass(frozen=True)
class Outcome:
    """What a case came to."""

    trace: Trace
    error: Exception | None = None
    status: int | None = None
    told_tokens: int | None = None
    """As the response, or the stream's last usage, says."""


async def asked(server: ThreadedServer, case: Case, at: Arranged) -> Outcome:
    stream: Any = None
    try:
        answer: Any = await litellm.acompletion(**_request(server, case, at))
        if not case.stream:
            return Outcome(composite_llm.get_trace(answer), told_tokens=answer.usage.total_tokens)
        stream = answer
        return _streamed(stream, [chunk async for chunk in stream])
    except Exception as error:  # noqa: BLE001  # which error it is, is the question
        return _failed(error, stream)


def asked_sync(server: ThreadedServer, case: Case, at: Arranged) -> Outcome:
    stream: Any = None
    try:
        answer: Any = litellm.completion(**_request(server, case, at))
        if not case.stream:
            return Outcome(composite_llm.get_trace(answer), told_tokens=answer.usage.total_tokens)
        stream = answer
        return _streamed(stream, list(stream))
    except Exception as error:  # noqa: BLE001  # which error it is, is the question
        return _failed(error, stream)


def _request(server: ThreadedServer, case: Case, at: Arranged) -> dict[str, Any]:
    asked = {"model": at.model, "messages": MESSAGES, "api_base": server.base_url, "api_key": KEY}
    streamed = {"stream": True, "stream_options": {"include_usage": True}} if case.stream else {}
    return {**asked, **streamed, **at.options}


def _streamed(stream: Any, chunks: Sequence[Any]) -> Outcome:
    usages = [chunk.usage for chunk in chunks if getattr(chunk, "usage", None)]
    return Outcome(composite_llm.get_trace(stream), told_tokens=usages[-1].total_tokens)


def _failed(error: Exception, stream: Any) -> Outcome:
    # LiteLLM wraps what a client may retry when a stream raises it.
    own = getattr(error, "original_exception", None) or error
    return Outcome(composite_llm.get_trace(stream or own), own, getattr(error, "status_code", None))


# --- the comparison ------------------------------------------------------------------------------------------------


def complaints(case: Case, at: Arranged, outcome: Outcome, records: Sequence[Record], endpoint: str) -> Iterator[str]:
    due, trace = expected(case), outcome.trace
    error = type(outcome.error).__name__ if outcome.error is not None else None
    if error != (due.error.__name__ if due.error else None):
        yield f"ended with {error} ({outcome.error}), not {due.error}"
    elif due.error is not None:
        if outcome.status != due.status:
            yield f"status {outcome.status}, not {due.status}"
        if not isinstance(outcome.error, due.error) or getattr(outcome.error, "stage", "") != case.position.stage:
            yield f"the error is of stage {getattr(outcome.error, 'stage', None)}"
        if endpoint not in str(outcome.error):
            yield f"the error does not name {endpoint}: {outcome.error}"
    codes = {reason.partition(":")[0] for reason in trace.degraded}
    if codes != due.codes:
        yield f"degraded by {sorted(codes)}, not {sorted(due.codes)}"
    for name in at.faulty:
        attempts = [attempt for attempt in _attempts(trace) if attempt.model == f"openai/{name}"]
        arrived = [record for record in records if record.model == name]
        made = len(attempts) - case.position.earlier
        # A call that is given up in time may not even have arrived.
        if made != due.attempts or not (len(arrived) == len(attempts) or case.fault.times_out):
            yield f"{made} attempts in the trace, {len(arrived)} requests arrived, {due.attempts} were due"
    yield from _wrong_sums(case, at, outcome, records)
    yield from _wrong_attempts(trace, endpoint)


def _attempts(trace: Trace) -> list[Attempt]:
    return [attempt for call in trace.calls for attempt in call.attempts]


def _wrong_sums(case: Case, at: Arranged, outcome: Outcome, records: Sequence[Record]) -> Iterator[str]:
    """The trace's tokens are the ledger's, but for answers that broke off before the server could tell theirs."""
    counted = sum(attempt.usage.total_tokens for attempt in _attempts(outcome.trace) if not attempt.estimated)
    spent = sum(record.usage["total_tokens"] for record in _told(case, at, records) if record.usage is not None)
    if counted != spent:
        yield f"{counted} tokens in the trace, {spent} in the ledger"
    total = sum(attempt.usage.total_tokens for attempt in _attempts(outcome.trace))
    if outcome.trace.usage.total_tokens != total:
        yield f"the trace's sum is {outcome.trace.usage.total_tokens}, its attempts' {total}"
    if outcome.told_tokens is not None and outcome.told_tokens != total:
        yield f"the response tells {outcome.told_tokens} tokens, the trace {total}"
    estimated = [attempt for attempt in _attempts(outcome.trace) if attempt.estimated]
    if len(estimated) != int(case.effect.begun and not case.effect.told):
        yield f"{len(estimated)} attempts are estimated"


def _told(case: Case, at: Arranged, records: Sequence[Record]) -> Iterator[Record]:
    seen: dict[str | None, int] = {}
    for record in records:
        number = seen[record.model] = seen.get(record.model, 0) + 1
        faulty = record.model in at.faulty and number > case.position.earlier
        fine_again = case.way == "recovers" and number > case.position.earlier + 1
        if not faulty or case.effect.told or fine_again:
            yield record


def _wrong_attempts(trace: Trace, endpoint: str) -> Iterator[str]:
    for attempt in _attempts(trace):
        if attempt.endpoint != endpoint:
            yield f"an attempt at {attempt.model} names {attempt.endpoint}"
        if attempt.status in ("failed", "timed_out") and not attempt.error:
            yield f"a failed attempt at {attempt.model} says nothing"
        if attempt.status in ("failed", "timed_out") and attempt.error_class and endpoint not in str(attempt.error):
            yield f"a failed attempt does not name {endpoint}: {attempt.error}"
        if attempt.status == "cancelled":
            yield f"an attempt at {attempt.model} is left as cancelled"


async def all_at_once(server: ThreadedServer, pairs: Sequence[tuple[Case, Arranged]], most: int = 16) -> list[Outcome]:
    places = asyncio.Semaphore(most)

    async def one(case: Case, at: Arranged) -> Outcome:
        async with places:
            return await asked(server, case, at)

    return await asyncio.gather(*(one(case, at) for case, at in pairs))


def compared(server: ThreadedServer, pairs: Sequence[tuple[Case, Arranged]], outcomes: Sequence[Outcome]) -> list[str]:
    server.wait_until(lambda ledger: ledger.open_requests == 0)
    by_case: dict[str, list[Record]] = {}
    for record in server.ledger.records:
        by_case.setdefault(str(record.model).partition("-")[0], []).append(record)
    endpoint = server.url.removeprefix("http://")
    return [
        f"{case}: {text}"
        for (case, at), outcome in zip(pairs, outcomes, strict=True)
        for text in complaints(case, at, outcome, by_case.get(at.faulty[0].partition("-")[0], []), endpoint)
    ]


_serial = itertools.count()


def prepared(server: ThreadedServer, cases: Sequence[Case]) -> list[tuple[Case, Arranged]]:
    pairs = [(case, arranged(case, f"case{next(_serial)}")) for case in cases]
    for _, at in pairs:
        for name, scenario in at.scenarios.items():
            server.set_scenario(name, scenario)
    return pairs


# One test is more than a hundred cases.
pytestmark = pytest.mark.timeout(240)


Note = Callable[[str, object], None]


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("position", POSITIONS, ids=lambda position: position.name)
def test_every_fault_comes_to_what_the_rules_say(
    position: Position, stream: bool, server: ThreadedServer, portal: BlockingPortal, record_property: Note
) -> None:
    cases = [case for case in cases_of(position, stream=stream) if not case.fault.times_out]
    assert_as_expected(server, prepared(server, cases), record_property, partial(portal.call, all_at_once, server))


def test_every_silence_comes_to_what_the_rules_say(
    server: ThreadedServer, portal: BlockingPortal, record_property: Note
) -> None:
    """Apart from the others, whose load must not make the silent ones' neighbours late."""
    cases = [case for case in all_cases() if case.fault.times_out]
    ask = partial(portal.call, all_at_once, server)
    assert_as_expected(server, prepared(server, cases), record_property, lambda pairs: ask(pairs, 12))


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("strategy", ["moa", "council"])
def test_every_fault_at_the_final_call_comes_to_the_same_for_a_sync_caller(
    strategy: str, stream: bool, server: ThreadedServer, record_property: Note
) -> None:
    cases = [
        case
        for case in all_cases()
        if case.position.strategy == strategy and case.position.final and case.stream == stream
        if case.way in ("none", "fallback") and not case.fault.times_out
    ]

    def ask(pairs: Sequence[tuple[Case, Arranged]]) -> list[Outcome]:
        with ThreadPoolExecutor(8) as threads:
            return list(threads.map(lambda pair: asked_sync(server, *pair), pairs))

    assert_as_expected(server, prepared(server, cases), record_property, ask)


def assert_as_expected(
    server: ThreadedServer,
    pairs: Sequence[tuple[Case, Arranged]],
    record_property: Note,
    ask: Callable[[Sequence[tuple[Case, Arranged]]], list[Outcome]],
) -> None:
    record_property("fault_cases", len(pairs))
    found = compared(server, pairs, ask(pairs))
    assert not found, f"{len(found)} complaints about {len(pairs)} cases:\n" + "\n".join(found[:40])


def test_every_fault_is_at_every_position_and_one_of_each_kind_with_every_way_out() -> None:
    cases = all_cases()
    there = {(case.position, case.fault_name, case.stream, case.way) for case in cases}
    assert set(itertools.product(POSITIONS, FAULTS, (False,), ("none",))) <= there
    assert set(itertools.product(POSITIONS, REPRESENTATIVES, (False,), ("none", "fallback"))) <= there
    assert set(itertools.product(POSITIONS, REPRESENTATIVES, (True,), ("none",))) <= there
    ends = [position for position in POSITIONS if position.final]
    assert set(itertools.product(ends, FAULTS, (True,), ("none", "recovers"))) <= there
    assert set(itertools.product(ends, REPRESENTATIVES, (True,), (*WAYS, "best"))) <= there
    stages = {(position.strategy, position.stage) for position in POSITIONS}
    tried_again = {(c.position.strategy, c.position.stage, c.fault_name) for c in cases if c.way == "recovers"}
    assert tried_again == {(*stage, fault) for stage in stages for fault in FAULTS}
    assert len({str(case) for case in cases}) == len(cases)
    assert {expected(case).error for case in cases} == {None, composite_llm.QuorumNotMet, composite_llm.FinalCallFailed}


NO_FAULT: frozenset[str] = frozenset(
    {
        # How fast, what and in which form it answers; none of it is a failure.
        "latency_s", "first_token_s", "time_per_token_s", "texts", "reasoning", "logprobs", "usage", "no_usage",
        "null_usage", "headers", "reasoning_field", "thinking_signature", "redacted_thinking", "served_by", "show",
        "raw_body", "raw_events", "chunk_chars", "tool_argument_chars", "interleaved_tool_deltas", "usage_on_last_content_chunk",
        "empty_first_chunk", "split_utf8", "comment_keepalive",
        # Which requests get a fault; here each has its own.
        "error_rate", "seed", "by_content", "sequence", "says", "drop_after_chunks",
        # What a request must be like: tests of their own break these rules.
        "rules", "context_window",
    }
)  # fmt: skip


def test_every_key_of_the_servers_that_makes_a_fault_is_in_the_matrix() -> None:
    used = {key for fault in FAULTS.values() for key in fault.scenario}
    assert used - {"drop_after_chunks"} == set(Scenario.model_fields) - NO_FAULT
