from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from composite_llm.config.plan import make_plan
from composite_llm.config.profiles import Profiles
from composite_llm.engine.breaker import COUNTED, MAX_ENTRIES, Breakers, BreakerSettings, BreakerState
from composite_llm.model.errors import CompositeError, FailureKind, RunTimeout
from composite_llm.model.trace import Trace
from composite_llm.run import Caller, Run, Services
from tests.support.benches import QUESTION, bench
from tests.support.scripted_backend import Hang, Say, Script, ScriptedBackend, ScriptedFacts, failing
from tests.support.virtual_time import START, now

MODEL, PLACE = "openai/a", "host:443"
ALL_KINDS: list[FailureKind] = [
    "rejected",
    "authentication",
    "not_found",
    "context_window",
    "content_policy",
    "rate_limited",
    "timed_out",
    "unavailable",
    "malformed",
    "unusable",
    "unsendable",
    "internal",
]


@dataclass
class Watch:
    """A clock that a test moves, and the breakers that read it."""

    seconds: float = 0.0
    settings: BreakerSettings = field(default_factory=BreakerSettings)

    def __post_init__(self) -> None:
        self.breakers = Breakers(self.settings, lambda: self.seconds)

    def fail(self, times: int = 1, kind: FailureKind = "unavailable") -> None:
        for _ in range(times):
            self.breakers.failed(MODEL, PLACE, kind)

    @property
    def asked(self) -> bool:
        """Whether the model may be asked now."""
        return self.breakers.refusal(MODEL, PLACE) is None

    @property
    def state(self) -> BreakerState:
        (state,) = self.breakers.states()
        return state


def test_five_failures_open_it_and_four_do_not() -> None:
    watch = Watch()
    watch.fail(4)
    assert watch.asked
    assert watch.state == BreakerState(MODEL, PLACE, "closed", 4, None)
    watch.fail()
    assert not watch.asked
    assert watch.state == BreakerState(MODEL, PLACE, "open", 5, 30)


def test_failures_count_for_a_minute() -> None:
    watch = Watch()
    watch.fail()
    watch.seconds = 60
    watch.fail(4)
    assert watch.asked
    watch.seconds = 119.9
    watch.fail()
    assert not watch.asked


def test_after_half_a_minute_one_probe_is_let_through_and_no_second_one() -> None:
    watch = Watch()
    watch.fail(5)
    watch.seconds = 29.9
    assert not watch.asked
    watch.seconds = 30
    assert watch.state.state == "half_open"
    assert [watch.asked for _ in range(3)] == [True, False, False]
    assert watch.state == BreakerState(MODEL, PLACE, "half_open", 5, None)


def test_a_probe_that_is_answered_closes_it_and_forgets() -> None:
    watch = Watch()
    watch.fail(5)
    watch.seconds = 30
    assert watch.asked
    watch.breakers.succeeded(MODEL, PLACE)
    assert watch.breakers.states() == []
    watch.fail(4)
    assert watch.asked


def test_a_probe_that_fails_opens_it_for_another_half_minute() -> None:
    watch = Watch()
    watch.fail(5)
    # Later than the window, so that only the probe's own failure is left.
    watch.seconds = 100
    assert watch.asked
    watch.fail()
    watch.seconds = 129
    assert not watch.asked
    watch.seconds = 130
    assert watch.asked


@pytest.mark.parametrize("end", ["cancelled", "rate limited"])
def test_a_probe_without_a_verdict_makes_room_for_another(end: str) -> None:
    watch = Watch()
    watch.fail(5)
    watch.seconds = 30
    assert watch.asked
    if end == "cancelled":
        watch.breakers.released(MODEL, PLACE)
    else:
        watch.fail(kind="rate_limited")
    assert watch.asked
    assert not watch.asked


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_only_failures_that_speak_of_the_endpoint_count(kind: FailureKind) -> None:
    watch = Watch()
    watch.fail(5, kind)
    assert watch.asked == (kind not in COUNTED)
    assert (kind in COUNTED) == (kind in ("unavailable", "timed_out", "malformed"))


def test_every_model_and_endpoint_has_its_own() -> None:
    watch = Watch()
    watch.fail(5)
    assert watch.breakers.refusal(MODEL, "other:443") is None
    assert watch.breakers.refusal("openai/b", PLACE) is None
    assert not watch.asked


def test_a_refusal_says_where_and_how_long() -> None:
    watch = Watch()
    watch.fail(5)
    watch.seconds = 10
    refusal = watch.breakers.refusal(MODEL, PLACE)
    assert refusal is not None
    assert (refusal.kind, refusal.retryable) == ("breaker_open", False)
    assert refusal.reason == (
        "host:443 not asked: its breaker is open for another 20 s (refused: unavailable at host:443, 5 times in 0.0 s)"
    )


@pytest.mark.parametrize(
    ("failures", "told"),
    [
        (
            [(0, "connection refused")] * 4 + [(20, "connection refused")],
            "connection refused at host:443, 5 times in 20 s",
        ),
        (
            [(0, "HTTP 500")] * 3 + [(1, "connection refused"), (3, "connection refused")],
            "connection refused at host:443, 2 times in 2 s",
        ),
        ([(0, "HTTP 500")] * 4 + [(0.5, "host name not found")], "host name not found at host:443"),
    ],
)
def test_a_refusal_carries_the_failures_that_opened_the_breaker(failures: list[tuple[float, str]], told: str) -> None:
    seconds = 0.0
    breakers = Breakers(clock=lambda: seconds)
    for moment, cause in failures:
        seconds = moment
        breakers.failed(MODEL, PLACE, "unavailable", cause=cause)
    refusal = breakers.refusal(MODEL, PLACE)
    assert refusal is not None
    assert refusal.reason.endswith(f"(refused: {told})")


def test_a_thousand_models_are_remembered_and_those_that_are_well_again_go_first() -> None:
    seconds = 0.0
    breakers = Breakers(clock=lambda: seconds)
    for number in range(MAX_ENTRIES):
        breakers.failed(f"old-{number}", None, "unavailable")
    seconds = 61.0
    breakers.failed("new", None, "unavailable")
    assert [state.model for state in breakers.states()] == ["new"]
    for number in range(MAX_ENTRIES + 5):
        breakers.failed(f"more-{number}", None, "unavailable")
    assert len(breakers.states()) == MAX_ENTRIES == 1000


def test_it_never_opens_when_told_so() -> None:
    watch = Watch(settings=BreakerSettings(open_s=0))
    watch.fail(50)
    assert watch.asked


def test_open_ones_are_listed_first_and_a_reset_forgets_all() -> None:
    watch = Watch()
    watch.breakers.failed("openai/0", PLACE, "unavailable")
    watch.fail(5)
    assert [(state.model, state.state) for state in watch.breakers.states()] == [
        (MODEL, "open"),
        ("openai/0", "closed"),
    ]
    watch.breakers.reset()
    assert watch.breakers.states() == []
    assert watch.asked


@pytest.mark.parametrize(
    ("waited", "refused_up_to_s"),
    [
        ([1.0] * 5, 1.0),
        ([1.0] * 9, 1.0),
        ([1.0, 2.0, 3.0, 4.0, 5.0], 1.0),
        ([1.0] * 4 + [3.0] * 4, 1.0),
        ([1.0] * 4 + [3.0] * 5, 3.0),
        ([1.0] * 3 + [None] * 2, 1.0),
        ([None] * 5, None),
    ],
)
def test_who_would_wait_longer_than_the_others_did_is_not_kept_from_asking(
    waited: list[float | None], refused_up_to_s: float | None
) -> None:
    watch = Watch()
    for patience_s in waited:
        watch.breakers.failed(MODEL, PLACE, "timed_out", patience_s)
    assert watch.breakers.refusal(MODEL, PLACE, refused_up_to_s) is not None
    if refused_up_to_s is not None:
        assert watch.breakers.refusal(MODEL, PLACE, refused_up_to_s + 0.1) is None
        assert watch.breakers.refusal(MODEL, PLACE) is None


def test_a_failure_that_is_no_matter_of_time_counts_for_everybody() -> None:
    watch = Watch()
    for patience_s in (0.1, 0.2, 1.0, 5.0, None):
        watch.breakers.failed(MODEL, PLACE, "unavailable", patience_s)
    assert watch.breakers.refusal(MODEL, PLACE, 1000.0) is not None
    assert not watch.asked


def test_a_hasty_probe_that_fails_does_not_keep_the_patient_waiting() -> None:
    watch = Watch()
    for _ in range(5):
        watch.breakers.failed(MODEL, PLACE, "timed_out", 10.0)
    watch.seconds = 30
    assert watch.breakers.refusal(MODEL, PLACE, 1.0) is None
    watch.breakers.failed(MODEL, PLACE, "timed_out", 1.0)
    assert watch.breakers.refusal(MODEL, PLACE, 1.0) is not None
    assert watch.breakers.refusal(MODEL, PLACE, 10.0) is None


@given(
    steps=st.lists(st.tuples(st.floats(0, 40), st.sampled_from(["ask", "fail", "answer"])), max_size=60),
    failures=st.integers(1, 6),
)
def test_whatever_happens_at_most_one_probe_is_out_and_an_open_one_stays_shut(
    steps: list[tuple[float, str]], failures: int
) -> None:
    watch = Watch(settings=BreakerSettings(failures=failures))
    for seconds, what in steps:
        watch.seconds += seconds
        before = watch.breakers.states()
        if what == "ask":
            asked = watch.asked
            if before and before[0].state == "open":
                assert not asked
            if asked and before and before[0].state == "half_open":
                assert not watch.asked
        elif what == "fail":
            watch.fail()
            assert watch.state.failures >= 1
        else:
            watch.breakers.succeeded(MODEL, PLACE)
            assert watch.asked


# --- in a run ------------------------------------------------------------------------------------------------------


@dataclass
class Process:
    """Runs that share their breakers, in virtual time."""

    script: Script
    settings: BreakerSettings = field(default_factory=BreakerSettings)

    def __post_init__(self) -> None:
        self.backend = ScriptedBackend(self.script)
        self.breakers = Breakers(self.settings, lambda: START + now())

    async def run(
        self, model: str = "composite/moa/z", *, stream: bool = False, timeout_s: float | None = None, **options: Any
    ) -> Trace:
        services = Services(self.backend, ScriptedFacts(), breakers=self.breakers)
        run = Run(make_plan(model, options, Profiles()), QUESTION, services, Caller(timeout_s=timeout_s))
        if stream:
            assert [item async for item in run.items()]
        else:
            await run.reply()
        assert run.trace is not None
        return run.trace


def once(model: str, **settings: Any) -> dict[str, Any]:
    return {"model": model, "num_retries": 0, **settings}


async def test_the_sixth_run_skips_a_dead_member_and_says_so() -> None:
    process = Process({"a": failing("unavailable"), "b": Say("B"), "z": Say("Z")})
    for _ in range(5):
        await process.run(proposers=[once("a"), "b"])
    trace = await process.run(proposers=[once("a"), "b"])
    assert len(process.backend.asked("a")) == 5
    (attempt,) = trace.calls[0].attempts
    assert (attempt.error_class, attempt.status, attempt.next_step) == (
        "BreakerOpen",
        "failed",
        "given up: it would fail again",
    )
    assert "its breaker is open" in str(attempt.error)
    assert [reason.partition(":")[0] for reason in trace.degraded] == ["breaker_open", "member_missing"]


async def test_an_open_breaker_leads_to_the_fallback_at_once() -> None:
    process = Process({"a": failing("unavailable", after=7), "b": Say("B"), "z": Say("Z")})
    node = {"model": "a", "num_retries": 4, "fallbacks": ["b"]}
    await process.run(proposers=[node])
    began = now()
    trace = await process.run(proposers=[node])
    assert now() == began
    assert [attempt.model for attempt in trace.calls[0].attempts] == ["a", "b"]
    assert trace.calls[0].model == "b"
    assert [reason.partition(":")[0] for reason in trace.degraded] == ["breaker_open", "fallback_used"]


async def test_retries_stop_when_the_breaker_opens_in_their_midst() -> None:
    process = Process({"a": failing("unavailable"), "b": Say("B"), "z": Say("Z")})
    trace = await process.run(proposers=[{"model": "a", "num_retries": 9}, "b"])
    assert len(process.backend.asked("a")) == 5
    assert [attempt.error_class for attempt in trace.calls[0].attempts][5:] == ["BreakerOpen"]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_final_model_with_an_open_breaker_is_replaced(stream: bool) -> None:
    process = Process({"a": Say("A"), "z": failing("unavailable"), "y": Say("Y")})
    node = {"num_retries": 4, "fallbacks": ["y"]}
    await process.run(proposers=["a"], aggregator=node, stream=stream)
    trace = await process.run(proposers=["a"], aggregator=node, stream=stream)
    assert trace.calls[-1].content == "Y"
    assert len(process.backend.asked("z")) == 5
    assert {reason.partition(":")[0] for reason in trace.degraded} == {"breaker_open", "fallback_used"}


async def test_a_skipped_attempt_is_no_call_of_the_budget() -> None:
    process = Process({"a": failing("unavailable"), "b": Say("B"), "z": Say("Z")}, BreakerSettings(failures=1))
    await process.run(proposers=[once("a"), "b"])
    trace = await process.run(proposers=[once("a", fallbacks=["b"])], max_calls=2)
    assert trace.calls[-1].status == "ok"


async def test_only_one_of_many_members_is_the_probe() -> None:
    script: Script = {"a": [*[failing("unavailable")] * 5, Say("back", after=1)], "b": Say("B"), "z": Say("Z")}
    process = Process(script)
    await process.run(proposers=[{"model": "a", "num_retries": 4}, "b"])
    await asyncio.sleep(30)
    trace = await process.run(proposers=[once("a")] * 3 + ["b"])
    asked = [call.status for call in trace.calls[:3]]
    assert sorted(asked) == ["failed", "failed", "ok"]
    assert process.breakers.states() == []


async def test_a_hanging_probe_that_is_cut_off_leaves_the_breaker_to_the_next() -> None:
    process = Process(
        {"a": [failing("unavailable"), Hang(), Say("back")], "b": Say("B"), "z": Say("Z")}, BreakerSettings(failures=1)
    )
    await process.run(proposers=[once("a"), once("b")])
    await asyncio.sleep(30)
    await process.run(proposers=[once("a"), {"model": "b"}], straggler_grace_s=1)
    trace = await process.run(proposers=[once("a"), "b"])
    assert trace.calls[0].content == "back"
    assert trace.degraded == []


async def test_a_run_whose_own_time_is_short_says_nothing_of_its_models() -> None:
    process = Process({"a": Say("A", after=5), "z": Say("Z")}, BreakerSettings(failures=1))
    for _ in range(3):
        with pytest.raises(RunTimeout):
            await process.run(proposers=["a"], timeout_s=1.0)
    assert process.breakers.states() == []


async def test_names_that_a_router_looks_after_have_none() -> None:
    process = Process({"routed-a": failing("unavailable"), "b": Say("B"), "z": Say("Z")}, BreakerSettings(failures=1))
    for _ in range(3):
        await process.run(proposers=[once("routed-a"), "b"])
    assert len(process.backend.asked("routed-a")) == 3
    assert process.breakers.states() == []


async def test_a_composite_has_none_but_its_nodes_do() -> None:
    process = Process({"a": failing("unavailable"), "b": Say("B"), "z": Say("Z")}, BreakerSettings(failures=1))
    inner = {"model": "composite/moa/a", "proposers": ["b"], "num_retries": 0, "aggregator": {"num_retries": 0}}
    await process.run(proposers=[inner, "b"])
    assert [(state.model, state.state) for state in process.breakers.states()] == [("a", "open")]


@pytest.mark.parametrize("form", ["plain", "streamed"])
@pytest.mark.parametrize("role", ["proposers", "aggregator"])
async def test_the_first_call_to_a_dead_endpoint_says_why_not_that_a_breaker_opened_within_it(
    role: str, form: str
) -> None:
    dead = failing("unavailable", "dead:443 unavailable (connection refused)", cause="connection refused")
    options: dict[str, Any] = {"proposers": ["a"], "aggregator": {"model": "dead", "num_retries": 9}}
    if role == "proposers":
        options = {"proposers": [{"model": "dead", "num_retries": 4}] * 2}
    b = bench("composite/moa/chief", {"dead": dead, "a": "alpha", "chief": "done"}, **options)
    with pytest.raises(CompositeError) as caught:
        await (b.text() if form == "plain" else b.items())
    assert "dead:443 unavailable (connection refused)" in str(caught.value)
    assert "breaker" not in str(caught.value)
    assert "breaker_open" not in b.trace.degraded_codes
    # The trace has it all.
    refused = [attempt for call in b.trace.calls for attempt in call.attempts if attempt.error_class == "BreakerOpen"]
    assert refused
    assert all("(refused: connection refused at dead:443, " in str(attempt.error) for attempt in refused)
