from __future__ import annotations

import contextlib
from typing import Any

import pytest

from composite_llm.backend.interface import Choice, Reply
from composite_llm.config.plan import make_plan
from composite_llm.config.profiles import Profiles
from composite_llm.engine.retry_cache import MAX_AGE_S, MAX_ENTRIES, CachedAnswers, RetryCache
from composite_llm.model.errors import CompositeError, FailureKind
from composite_llm.model.trace import Trace
from composite_llm.model.usage import NO_USAGE
from composite_llm.run import Caller, Run, Services
from tests.support.benches import QUESTION, call_named
from tests.support.scripted_backend import COST, USAGE, Hang, Say, Script, ScriptedBackend, ScriptedFacts, failing

REPLY = Reply((Choice(0, {"role": "assistant", "content": "kept"}, "stop"),), USAGE, COST)


def test_an_answer_is_found_by_its_stage_its_name_and_its_whole_prompt_and_costs_nothing() -> None:
    cached_answers = CachedAnswers("c0de")
    cached_answers.keep("propose", "a", QUESTION, REPLY)
    found = cached_answers.find("propose", "a", [dict(message) for message in QUESTION])
    assert found is not None
    assert (found.message["content"], found.usage, found.cost_usd) == ("kept", NO_USAGE, 0.0)
    assert cached_answers.find("propose-2", "a", QUESTION) is None
    assert cached_answers.find("propose", "b", QUESTION) is None
    assert cached_answers.find("propose", "a", [*QUESTION, *QUESTION]) is None
    assert len(cached_answers) == 1


def test_what_was_kept_is_given_out_once_and_only_for_a_minute() -> None:
    seconds = 0.0
    store = RetryCache(lambda: seconds)
    store.put("request", CachedAnswers("c0de"))
    assert store.take("other") is None
    assert store.take("request") is not None
    assert store.take("request") is None
    store.put("request", CachedAnswers("c0de"))
    seconds = MAX_AGE_S
    assert store.take("request") is None
    assert len(store) == 0


def test_the_oldest_go_when_there_are_too_many() -> None:
    store = RetryCache(lambda: 0.0)
    for number in range(MAX_ENTRIES + 10):
        store.put(str(number), CachedAnswers("c0de"))
    assert len(store) == MAX_ENTRIES
    assert store.take("9") is None
    assert store.take("10") is not None


class Client:
    """Asks the same question again and again, as a client that retries."""

    def __init__(self, script: Script) -> None:
        self.backend = ScriptedBackend(script)
        self.services = Services(self.backend, ScriptedFacts())

    async def ask(
        self,
        model: str = "composite/moa/z",
        messages: Any = QUESTION,
        *,
        timeout_s: float | None = None,
        **options: Any,
    ) -> Trace:
        """The trace, of a failed run too."""
        run = Run(make_plan(model, options, Profiles()), messages, self.services, Caller(timeout_s=timeout_s))
        with contextlib.suppress(CompositeError):
            await run.reply()
        assert run.trace is not None
        return run.trace

    def asked(self, model: str) -> int:
        return len(self.backend.asked(model))


ONCE = {"num_retries": 0}
MEMBERS = ["a", "b"]


async def test_a_repeat_after_a_failed_final_call_asks_no_member_again() -> None:
    client = Client({"a": "A", "b": "B", "z": [failing("unavailable"), Say("Z")]})
    failed = await client.ask(proposers=MEMBERS, aggregator=ONCE)
    again = await client.ask(proposers=MEMBERS, aggregator=ONCE)
    assert [client.asked(model) for model in "abz"] == [1, 1, 2]
    assert failed.error is not None
    assert again.calls[-1].content == "Z"
    assert [call.content for call in again.calls[:2]] == ["A", "B"]
    assert [call.attempts for call in again.calls[:2]] == [[], []]
    assert again.cost_usd == COST
    assert client.backend.prompts("z")[0] == client.backend.prompts("z")[1]


async def test_a_repeat_of_a_council_asks_neither_members_nor_reviewers_again() -> None:
    ballot = '{"ranking": ["Response B", "Response A"]}'
    script: Script = {"a": "A", "b": "B", "r": ballot, "z": [failing("unavailable"), Say("Z")]}
    client = Client(script)
    options: dict[str, Any] = {"members": MEMBERS, "reviewers": ["r"], "chairman": ONCE}
    await client.ask("composite/council/z", **options)
    again = await client.ask("composite/council/z", **options)
    assert [client.asked(model) for model in "abrz"] == [1, 1, 1, 2]
    assert again.ranking is not None


async def test_a_repeat_after_a_missed_quorum_asks_only_who_failed() -> None:
    client = Client({"a": "A", "b": [failing("unavailable"), Say("B")], "z": "Z"})
    nodes = ["a", {"model": "b", **ONCE}]
    await client.ask(proposers=nodes, quorum=2)
    again = await client.ask(proposers=nodes, quorum=2)
    assert [client.asked(model) for model in "abz"] == [1, 2, 1]
    assert again.error is None
    assert call_named(again, "b").attempts


async def test_a_repeat_after_the_runs_time_was_over_asks_only_who_had_not_answered() -> None:
    client = Client({"a": Say("A", after=1), "b": [Hang(), Say("B")], "z": "Z"})
    failed = await client.ask(proposers=MEMBERS, quorum=2, timeout_s=5)
    assert failed.error is not None
    assert "no answer within timeout=5 s" in failed.error
    again = await client.ask(proposers=MEMBERS, quorum=2, timeout_s=5)
    assert [client.asked(model) for model in "abz"] == [1, 2, 1]
    assert again.error is None


async def test_a_later_layer_is_used_again_too() -> None:
    client = Client({"a": [Say("A1"), Say("A2")], "z": [failing("unavailable"), Say("Z")]})
    await client.ask(proposers=["a"], layers=2, aggregator=ONCE)
    again = await client.ask(proposers=["a"], layers=2, aggregator=ONCE)
    assert client.asked("a") == 2
    assert [call.content for call in again.calls] == ["A1", "A2", "Z"]


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"messages": [{"role": "user", "content": "Another question"}]}, id="messages"),
        pytest.param({"temperature": 0.1}, id="parameter"),
        pytest.param({"quorum": 2}, id="option"),
        pytest.param({"aggregator": {"num_retries": 0, "temperature": 1}}, id="final-node"),
    ],
)
async def test_another_request_gets_nothing_of_it(changed: dict[str, Any]) -> None:
    client = Client({"a": "A", "b": "B", "z": [failing("unavailable"), Say("Z")]})
    await client.ask(proposers=MEMBERS, aggregator=ONCE)
    await client.ask(**{"proposers": MEMBERS, "aggregator": ONCE, **changed})
    assert [client.asked(model) for model in "ab"] == [2, 2]


async def test_a_request_that_succeeded_is_asked_afresh() -> None:
    client = Client({"a": "A", "b": "B", "z": "Z"})
    await client.ask(proposers=MEMBERS)
    await client.ask(proposers=MEMBERS)
    assert [client.asked(model) for model in "abz"] == [2, 2, 2]


KINDS: list[FailureKind] = [
    "unavailable", "rate_limited", "timed_out", "malformed", "authentication", "rejected", "not_found", "context_window",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
async def test_answers_are_kept_whatever_a_run_failed_with(kind: FailureKind) -> None:
    client = Client({"a": "A", "z": failing(kind)})
    await client.ask(proposers=["a"], aggregator=ONCE)
    assert len(client.services.retry_cache) == 1


async def test_a_third_try_still_has_what_the_first_was_answered() -> None:
    client = Client({"a": "A", "z": [failing("unavailable"), failing("unavailable"), Say("Z")]})
    for _ in range(3):
        last = await client.ask(proposers=["a"], aggregator=ONCE)
    assert client.asked("a") == 1
    assert last.calls[-1].content == "Z"


async def test_a_nested_composite_that_answered_is_not_run_again() -> None:
    inner = {"model": "composite/moa/y", "proposers": ["a"], "name": "inner"}
    client = Client({"a": "A", "y": "Y", "b": "B", "z": [failing("unavailable"), Say("Z")]})
    await client.ask(proposers=[inner, "b"], aggregator=ONCE)
    again = await client.ask(proposers=[inner, "b"], aggregator=ONCE)
    assert [client.asked(model) for model in "ayb"] == [1, 1, 1]
    assert call_named(again, "inner").content == "Y"
    assert again.cost_usd == COST
