"""What a streamed run tells, and when, in virtual time."""

from __future__ import annotations

from typing import Any

import pytest

from composite_llm.backend.interface import Chunk, Reply
from composite_llm.model.errors import CompositeError, FinalCallFailed
from composite_llm.model.events import CallDone
from composite_llm.run import Item
from tests.support.benches import Bench, bench, streamed_text, told
from tests.support.scripted_backend import Say, Script, asking_for, failing
from tests.support.virtual_time import now

MODEL = "composite/moa/chief"
TOOLS = [{"type": "function", "function": {"name": "look"}}]


async def lines(b: Bench) -> list[tuple[float, str]]:
    """What is said, and the second when; of a run that fails, until then."""
    said: list[tuple[float, str]] = []
    try:
        async for item in b.run.items():
            said += [(now(), text) for text in _said(item)]
    except CompositeError as error:
        said.append((now(), type(error).__name__))
    return said


def _said(item: Item) -> list[str]:
    if isinstance(item, Reply):
        return []
    if isinstance(item, Chunk):
        return [text] if (text := streamed_text([item])) else []
    return told([item])


def moment(said: list[tuple[float, str]], start: str) -> float:
    """When the one line that starts so was said."""
    (found,) = [second for second, text in said if text.startswith(start)]
    return found


async def test_a_tool_round_is_told_when_it_is_done_not_with_the_next_turns_first_token() -> None:
    script: Script = {"a": Say(after=1), "chief": [asking_for(("c1", "look", "{}"), after=1), Say("done", after=30)]}
    said = await lines(bench(MODEL, script, proposers=["a"], tools=TOOLS, tool_executor={"look": lambda: "nothing"}))
    assert (moment(said, "tool look"), moment(said, "done")) == (2, 32)


async def test_a_fallback_of_the_final_call_is_told_when_it_is_asked() -> None:
    script: Script = {"a": Say(after=1), "chief": failing("rejected", after=1), "spare": Say("done", after=30)}
    said = await lines(bench(MODEL, script, proposers=["a"], aggregator={"fallbacks": ["spare"]}))
    assert (moment(said, "Degraded: fallback_used"), moment(said, "done")) == (2, 32)


async def test_a_repair_is_told_when_it_is_asked_for() -> None:
    wanted: dict[str, Any] = {"type": "json_object"}
    script: Script = {"a": Say(after=1), "chief": [Say("no JSON", after=1), Say("{}", after=30)]}
    options = {"tools": TOOLS, "tool_executor": {"look": lambda: "nothing"}}
    said = await lines(bench(MODEL, script, proposers=["a"], response_format=wanted, **options))
    assert (moment(said, "Degraded: output_repaired"), moment(said, "{}")) == (2, 32)


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
async def test_a_final_call_that_fails_is_told_like_any_members_failure(streamed: bool) -> None:
    script: Script = {"a": Say("alpha", after=1), "chief": failing("rejected", "has no taste for it", after=1)}
    b = bench(MODEL, script, proposers=["a"], on_final_failure="best")
    if streamed:
        said = await lines(b)
        assert [text for _, text in said][-3:] == [
            "✗ chief: 1.0 s, failed: has no taste for it",
            "Degraded: final_failed: chief failed; the answer is a's own",
            "alpha",
        ]
    else:
        assert await b.text() == "alpha"
        assert b.trace.calls[-1].error == "has no taste for it"


async def test_why_the_final_call_failed_is_told_before_the_error() -> None:
    script: Script = {"a": Say("alpha", after=1), "chief": failing("rejected", "has no taste for it", after=1)}
    said = await lines(bench(MODEL, script, proposers=["a"]))
    assert said[-2:] == [(2, "✗ chief: 1.0 s, failed: has no taste for it"), (2, "FinalCallFailed")]


async def test_the_last_call_told_of_a_failed_run_is_in_its_trace() -> None:
    b = bench(MODEL, {"a": Say(), "chief": failing("rejected")}, proposers=["a"])
    events: list[Item] = []
    with pytest.raises(FinalCallFailed) as caught:  # noqa: PT012  # the stream is what raises
        async for item in b.run.items():
            events.append(item)  # noqa: PERF401  # what came before the error counts
    (final,) = [item.call for item in events if isinstance(item, CallDone) and item.call.name == "chief"]
    assert caught.value.trace is not None
    assert caught.value.trace.calls[-1] == final


async def test_a_reused_deliberation_is_told() -> None:
    script: Script = {"a": "alpha", "chief": [asking_for(("c1", "look", "{}")), Say("done")]}
    first = bench(MODEL, script, proposers=["a"], tools=TOOLS)
    await first.items()
    step = [
        {"role": "user", "content": "Why is the sky blue?"},
        {"role": "assistant", "tool_calls": [{"id": "c1", "function": {"name": "look", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "It is."},
    ]
    again = bench(MODEL, {}, step, proposers=["a"], tools=TOOLS, services=first.services)
    said = [text for _, text in await lines(again)]
    assert said[:2] == ["The answers of this user turn's deliberation are used again.", "Aggregation: asking chief"]
    assert again.trace.reused
