"""What a person sees while models deliberate: reasoning deltas, live, with the same facts as the plain summary."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import litellm
import pytest

from fake_server import ThreadedServer
from tests.support import wire
from tests.support.asking import COUNCIL, FINAL, FIRST, MESSAGES, MOA, SECOND, THIRD, at
from tests.support.streams import request, streamed, streaming, text_of

THREE = [FIRST, SECOND, THIRD]


async def next_line(stream: Any) -> str:
    """The next reasoning delta."""
    async for chunk in stream:
        text = text_of([chunk], "reasoning_content")
        if text:
            return text
    return ""


async def test_the_first_delta_comes_before_any_model_has_answered(server: ThreadedServer) -> None:
    server.set_scenario("*", {"hang": True})
    async with streaming(server, proposers=THREE) as stream:
        first = await anext(stream)
        assert first.choices[0].delta.reasoning_content == f"Proposals: asking {FIRST}, {SECOND}, {THIRD}\n"
        assert first.choices[0].delta.role == "assistant"
        assert not any(record.finished_at for record in server.ledger.records)


async def test_members_are_told_in_the_order_in_which_they_are_done(server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o-mini", {"latency_s": 0.3})
    server.set_scenario("gpt-4.1-mini", {"latency_s": 0.1})
    done = await streamed(server, proposers=THREE)
    told = re.findall(r"✓ (\S+):", done.reasoning)
    assert told == [call.name for call in sorted(done.trace.calls, key=lambda call: call.start_s + call.duration_s)]
    assert told[-2:] == [FIRST, FINAL]


async def test_a_member_is_told_while_the_others_still_work(server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o-mini", {"text": "quick"})
    server.set_scenario("gpt-4.1-mini", {"hang": True})
    async with streaming(server, proposers=[FIRST, SECOND]) as stream:
        assert (await next_line(stream)).startswith("Proposals: asking")
        assert (await next_line(stream)).startswith(f"✓ {FIRST}: ")
        await asyncio.to_thread(
            server.wait_until, lambda ledger: any(r.open for r in ledger.records if r.model == "gpt-4.1-mini")
        )


async def test_a_members_line_says_name_seconds_tokens_and_money(server: ThreadedServer) -> None:
    done = await streamed(server, proposers=[FIRST])
    call = done.trace.calls[0]
    expected = f"✓ {FIRST}: {call.duration_s:.1f} s, {call.usage.total_tokens} tokens, ${call.cost_usd:.6f}\n"
    assert expected in done.reasoning


async def test_a_members_line_says_why_it_failed(server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o-mini", {"error": {"status": 400, "message": "your key sk-secret is odd"}})
    done = await streamed(server, proposers=[FIRST, SECOND])
    (line,) = [line for line in done.reasoning.splitlines() if line.startswith(f"✗ {FIRST}")]
    assert "rejected the request (HTTP 400" in line
    assert "sk-secret" not in done.reasoning


async def test_every_stage_of_a_council_is_announced_and_the_vote_shown_before_the_answer(
    server: ThreadedServer,
) -> None:
    done = await streamed(server, COUNCIL, members=THREE)
    seen = [text_of([chunk], "reasoning_content") or text_of([chunk], "content") for chunk in done.chunks]
    order = [
        next(place for place, text in enumerate(seen) if text.startswith(start))
        for start in ("Answers: asking", "Reviews: asking", "Vote (borda", "Synthesis: asking", done.content[:4])
    ]
    assert order == sorted(order)


async def test_full_reasoning_brings_a_members_text_when_it_lands(server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o-mini", {"text": "Pons Fabricius."})
    server.set_scenario("gpt-4.1-mini", {"hang": True})
    async with streaming(server, proposers=[FIRST, SECOND], reasoning="full") as stream:
        await next_line(stream)
        assert f"{FIRST} wrote:\nPons Fabricius.\n" in await next_line(stream)


async def test_reasoning_off_gives_no_reasoning_delta_at_all(server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o", {"text": "The answer.", "reasoning": "My own thoughts."})
    done = await streamed(server, proposers=[FIRST, SECOND], reasoning="off")
    assert done.reasoning == ""
    assert done.content == "The answer."
    assert done.built.choices[0].message.get("reasoning_content") is None


async def test_without_reasoning_the_first_delta_still_names_the_role(server: ThreadedServer) -> None:
    done = await streamed(server, proposers=[FIRST], reasoning="off")
    roles = [choice.delta.role for chunk in done.chunks for choice in chunk.choices]
    assert roles[0] == "assistant"
    assert not any(roles[1:])


async def test_the_final_models_own_reasoning_stands_under_its_own_heading(server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o", {"text": "The answer.", "reasoning": "One, two, three."})
    done = await streamed(server, proposers=[FIRST])
    assert "\nThe final model's own reasoning\nOne, two, three.\n✓ " in done.reasoning


async def test_tool_rounds_are_told_line_by_line(server: ThreadedServer) -> None:
    call = {"tool_calls": [{"name": "add", "arguments": {"a": 1, "b": 2}}]}
    server.set_scenario("gpt-4o", {"sequence": [call, {"text": "It is 3."}]})
    done = await streamed(
        server,
        proposers=[FIRST],
        tools=[{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}],
        tool_executor={"add": lambda a, b: a + b},
    )
    assert "tool add (round 1): ok, 0.0 s\n" in done.reasoning
    assert done.content == "It is 3."


TOOLS = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]
ASKS_FOR_TOOL = {"tool_calls": [{"name": "add", "arguments": {"a": 1, "b": 2}}]}
TOOL_STEP = [
    *MESSAGES,
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "add", "arguments": "{}"}}],
    },
    {"role": "tool", "tool_call_id": "c1", "content": "3"},
]
REFUSED = {"error": {"status": 400}}

FACTS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "moa": (MOA, {"proposers": [FIRST, SECOND]}, {}),
    "moa with a failed member": (
        MOA,
        {"proposers": [FIRST, SECOND]},
        {"gpt-4o-mini": {"error": {"status": 400}}},
    ),
    "moa with the model's own reasoning": (MOA, {"proposers": [FIRST]}, {"gpt-4o": {"reasoning": "Hm.", "text": "A."}}),
    "moa of two layers": (MOA, {"proposers": [FIRST, SECOND], "layers": 2}, {}),
    "self-moa": (MOA, {"samples": 2}, {}),
    "council": (COUNCIL, {"members": THREE, "seed": 1}, {}),
    "council with a failed reviewer": (
        COUNCIL,
        {"members": [FIRST, SECOND], "reviewers": [FIRST, THIRD], "seed": 1},
        {"gpt-4.1-nano": REFUSED},
    ),
    "final fallback": (MOA, {"proposers": [FIRST], "aggregator": {"fallbacks": [SECOND]}}, {"gpt-4o": REFUSED}),
    "failed final call": (MOA, {"proposers": [FIRST, SECOND], "on_final_failure": "best"}, {"gpt-4o": REFUSED}),
    "executed tools": (
        MOA,
        {"proposers": [FIRST], "tools": TOOLS, "tool_executor": {"add": lambda a, b: a + b}},
        {"gpt-4o": {"sequence": [ASKS_FOR_TOOL, {"text": "It is 3."}]}},
    ),
    "tool step of a user turn": (MOA, {"proposers": [FIRST], "tools": TOOLS, "messages": TOOL_STEP}, {}),
}


# The server's own answers depend on the prompt, and the prompts hold a mark that is new in each run.
STEADY = {
    "text": "{model} says so.",
    "by_content": [{"contains": "You are reviewing", "then": {"text": '{"ranking": ["Response B", "Response A"]}'}}],
}


def facts(text: str) -> set[str]:
    """The lines that say something of a call, a vote, a degradation or the bill, without what differs between runs."""
    lines = (re.sub(r"\d+\.\d s", "… s", line).lstrip("- ") for line in text.splitlines())
    said = (re.sub(r"^Degraded: ", "", line) for line in lines)
    # A heading: in a stream it says who is asked.
    return {
        line
        for line in said
        if line and line != "Degraded:" and not re.match(r"^[A-Z]\w+(, layer \d)?(: asking .*)?$", line)
    }


@pytest.mark.parametrize("full", [False, True], ids=["summary", "full"])
@pytest.mark.parametrize("case", FACTS)
async def test_put_together_the_deltas_hold_the_facts_of_the_plain_summary(
    server: ThreadedServer, case: str, full: bool
) -> None:
    model, options, scenarios = FACTS[case]
    server.set_scenario("*", STEADY)
    options = {**options, "reasoning": "full" if full else "summary"}
    if "messages" in options:
        await litellm.acompletion(**request(server, model, **{**options, "messages": MESSAGES}))
    for name, scenario in scenarios.items():
        server.set_scenario(name, scenario)
    done = await streamed(server, model, **options)
    for name, scenario in scenarios.items():
        server.set_scenario(name, scenario)
    plain = await litellm.acompletion(**request(server, model, **options))
    assert done.trace.reused == ("messages" in options)
    assert facts(done.reasoning) == facts(plain.choices[0].message.reasoning_content)


async def test_a_nested_composite_as_the_final_model_shows_its_own_deliberation(server: ThreadedServer) -> None:
    inner = {"model": f"composite/moa/{SECOND}", "proposers": [at(server, THIRD)], "api_base": server.base_url}
    done = await streamed(server, proposers=[at(server, FIRST)], aggregator={**inner, "api_key": "sk-test"})
    assert f"Proposals: asking {THIRD}" in done.reasoning
    assert done.trace.usage.total_tokens == wire.tokens(server)["total_tokens"]
    assert done.built.choices[0].message.content == done.trace.calls[-1].content
