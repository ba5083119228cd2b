"""Whether other models are asked: always, when the final model asks for it, or never."""

from __future__ import annotations

import json
from typing import Any

import pytest

import composite_llm
from composite_llm.model.errors import OptionNotAllowed
from composite_llm.proxy.policy import check_client
from fake_server import ThreadedServer
from tests.support.asking import COUNCIL, FINAL, FIRST, MESSAGES, MOA, SECOND, Ask

PRIVATE = {"name": "deliberate", "arguments": {"reason": "it is contested"}}
LOOK = {
    "type": "function",
    "function": {"name": "look", "parameters": {"type": "object", "properties": {"q": {"type": "string"}}}},
}
NODES = {MOA: {"proposers": [FIRST, SECOND]}, COUNCIL: {"members": [FIRST, SECOND]}}
both = pytest.mark.parametrize("model", [MOA, COUNCIL])


def asked(server: ThreadedServer) -> list[str]:
    return [record.body["model"] for record in server.ledger.records]


def tools_sent(body: dict[str, Any]) -> list[str]:
    return [tool["function"]["name"] for tool in body.get("tools", [])]


def script(server: ThreadedServer, gate: dict[str, Any], then: dict[str, Any] | None = None) -> None:
    """The final model's first turn, and what it says when it is given answers."""
    final = then or {"text": "The answer of all."}
    server.set_scenario("gpt-4o", {**gate, "by_content": [
        {"contains": "Several models have each answered", "then": final},
        {"contains": "You chair a council", "then": final},
    ]})  # fmt: skip


def streamed(ask: Ask, **options: Any) -> tuple[str, str, list[str], Any]:
    """Answer, reasoning, names of tools that the caller sees, and the stream's trace."""
    stream = ask(stream=True, **options)
    content, reasoning, names = "", "", []
    for chunk in stream:
        for choice in chunk.choices:
            content += choice.delta.content or ""
            reasoning += getattr(choice.delta, "reasoning_content", None) or ""
            names += [call.function.name for call in choice.delta.tool_calls or () if call.function.name]
    return content, reasoning, names, composite_llm.get_trace(stream)


@both
def test_never_is_one_call_of_the_final_model(ask_both: Ask, server: ThreadedServer, model: str) -> None:
    server.set_scenario("gpt-4o", {"text": "Alone."})
    answer = ask_both(model, deliberate="never", **NODES[model])
    trace = composite_llm.get_trace(answer)
    assert (answer.choices[0].message.content, asked(server)) == ("Alone.", ["gpt-4o"])
    assert server.ledger.records[0].body["messages"] == MESSAGES
    assert (trace.degraded, trace.notes, [call.final for call in trace.calls]) == ([], [], [True])
    explained = composite_llm.explain(model, MESSAGES, deliberate="never", **NODES[model])
    assert (explained.calls, explained.rounds, explained.without_deliberation) == (1, 1, None)


def test_never_without_nodes_says_nothing_of_samples(ask: Ask) -> None:
    assert composite_llm.get_trace(ask(deliberate="never")).notes == []


@both
def test_auto_is_one_call_where_the_final_model_answers(ask_both: Ask, server: ThreadedServer, model: str) -> None:
    script(server, {"text": "Easy."})
    answer = ask_both(model, deliberate="auto", **NODES[model])
    trace = composite_llm.get_trace(answer)
    assert (answer.choices[0].message.content, asked(server)) == ("Easy.", ["gpt-4o"])
    body = server.ledger.records[0].body
    assert (body["messages"], tools_sent(body)) == (MESSAGES, ["deliberate"])
    assert [(call.stage, call.final, call.title) for call in trace.calls] == [("gate", True, "Gate")]
    assert trace.degraded == []
    # Nobody has deliberated, so nothing of the answer is reasoning.
    assert not answer.usage.completion_tokens_details.reasoning_tokens
    assert answer.choices[0].message.tool_calls is None


@both
def test_auto_asks_the_others_when_the_final_model_asks_for_it(
    ask_both: Ask, server: ThreadedServer, model: str
) -> None:
    script(server, {"tool_calls": [PRIVATE]})
    always = ask_both(model, **NODES[model])
    alone = asked(server)
    answer = ask_both(model, deliberate="auto", **NODES[model])
    trace = composite_llm.get_trace(answer)
    assert answer.choices[0].message.content == always.choices[0].message.content == "The answer of all."
    assert answer.choices[0].message.tool_calls is None
    assert answer.choices[0].finish_reason == "stop"
    assert asked(server)[len(alone) :][0] == "gpt-4o"
    assert len(asked(server)) == 2 * len(alone) + 1
    assert tools_sent(server.ledger.records[-1].body) == []
    gate, last = trace.calls[0], trace.calls[-1]
    assert (gate.stage, gate.final, gate.content) == ("gate", False, "it is contested")
    assert last.final
    before = sum(call.usage.completion_tokens for call in trace.calls[:-1])
    assert answer.usage.completion_tokens_details.reasoning_tokens == before > 0
    assert answer.usage.total_tokens == sum(call.usage.total_tokens for call in trace.calls)


def test_what_the_others_are_shown_is_the_same_as_without_a_gate(ask: Ask, server: ThreadedServer) -> None:
    script(server, {"tool_calls": [PRIVATE]})
    ask(proposers=[FIRST, SECOND], seed=1)
    plain = [record.body["messages"] for record in server.ledger.records]
    ask(proposers=[FIRST, SECOND], seed=1, deliberate="auto")
    gated = [record.body["messages"] for record in server.ledger.records][len(plain) + 1 :]
    assert gated == plain


@pytest.mark.parametrize(
    "gate", [{"text": "Easy."}, {"tool_calls": [PRIVATE]}, {"text": "Hm.", "tool_calls": [PRIVATE]}], ids=str
)
def test_a_stream_equals_the_plain_reply(ask: Ask, server: ThreadedServer, gate: dict[str, Any]) -> None:
    script(server, gate)
    plain = ask(proposers=[FIRST, SECOND], deliberate="auto")
    content, _, names, trace = streamed(ask, proposers=[FIRST, SECOND], deliberate="auto")
    assert content == plain.choices[0].message.content
    assert names == []
    kept = composite_llm.get_trace(plain)
    assert [(call.stage, call.final, call.usage) for call in trace.calls] == [
        (call.stage, call.final, call.usage) for call in kept.calls
    ]


def test_what_it_says_before_it_asks_is_the_first_paragraph(ask: Ask, server: ThreadedServer) -> None:
    script(server, {"text": "Hm.", "tool_calls": [PRIVATE]})
    answer = ask(proposers=[FIRST], deliberate="auto")
    assert answer.choices[0].message.content == "Hm.\n\nThe answer of all."


def test_with_a_response_format_what_it_said_before_is_left_out(ask: Ask, server: ThreadedServer) -> None:
    script(server, {"text": "Hm.", "tool_calls": [PRIVATE]}, {"text": '{"a": 1}'})
    options = {"proposers": [FIRST], "deliberate": "auto", "response_format": {"type": "json_object"}}
    assert ask(**options).choices[0].message.content == '{"a": 1}'
    assert streamed(ask, **options)[0] == '{"a": 1}'


@pytest.mark.parametrize("stream", [False, True])
def test_the_private_tool_wins_beside_the_callers_and_is_never_seen(
    ask: Ask, server: ThreadedServer, stream: bool
) -> None:
    look = {"name": "look", "arguments": {"q": "x"}}
    script(server, {"tool_calls": [look, PRIVATE]})
    options: dict[str, Any] = {"proposers": [FIRST], "deliberate": "auto", "tools": [LOOK]}
    if stream:
        content, _, names, _ = streamed(ask, **options)
        assert (content, names) == ("The answer of all.", [])
    else:
        message = ask(**options).choices[0].message
        assert (message.content, message.tool_calls) == ("The answer of all.", None)
    assert tools_sent(server.ledger.records[0].body) == ["look", "deliberate"]
    assert tools_sent(server.ledger.records[-1].body) == ["look"]


@pytest.mark.parametrize("stream", [False, True])
def test_the_callers_tool_alone_goes_to_the_caller(ask: Ask, server: ThreadedServer, stream: bool) -> None:
    script(server, {"tool_calls": [{"name": "look", "arguments": {"q": "x"}}]})
    options: dict[str, Any] = {"proposers": [FIRST], "deliberate": "auto", "tools": [LOOK]}
    if stream:
        assert streamed(ask, **options)[2] == ["look"]
    else:
        answer = ask(**options)
        assert [call.function.name for call in answer.choices[0].message.tool_calls] == ["look"]
        assert answer.choices[0].finish_reason == "tool_calls"
    assert asked(server) == ["gpt-4o"]


@pytest.mark.parametrize(
    ("choice", "sent", "tools"),
    [
        ("auto", "auto", ["look", "deliberate"]),
        ("required", "required", ["look", "deliberate"]),
        ("none", "auto", ["deliberate"]),
        ({"type": "function", "function": {"name": "look"}}, "required", ["look", "deliberate"]),
    ],
)
def test_a_tool_choice_leaves_room_for_the_private_tool(
    ask: Ask, server: ThreadedServer, choice: Any, sent: str, tools: list[str]
) -> None:
    script(server, {"tool_calls": [PRIVATE]})
    ask(proposers=[FIRST], deliberate="auto", tools=[LOOK], tool_choice=choice)
    first, last = server.ledger.records[0].body, server.ledger.records[-1].body
    assert (first["tool_choice"], tools_sent(first)) == (sent, tools)
    assert (last["tool_choice"], tools_sent(last)) == (choice, ["look"])


def test_a_tool_of_the_caller_may_have_the_same_name(ask: Ask, server: ThreadedServer) -> None:
    own = {"type": "function", "function": {"name": "deliberate", "parameters": {"type": "object", "properties": {}}}}
    script(server, {"tool_calls": [{"name": "deliberate", "arguments": {}}]})
    answer = ask(proposers=[FIRST], deliberate="auto", tools=[own])
    assert [call.function.name for call in answer.choices[0].message.tool_calls] == ["deliberate"]
    assert tools_sent(server.ledger.records[0].body) == ["deliberate", "deliberate_first"]


@pytest.mark.parametrize("stream", [False, True])
def test_tools_that_were_run_before_it_asks_are_part_of_the_conversation(
    ask: Ask, server: ThreadedServer, stream: bool
) -> None:
    looked: list[str] = []
    script(server, {"tool_calls": [{"name": "look", "arguments": {"q": "x"}}], "by_content": []})
    final = {"text": "The answer of all."}
    server.set_scenario("gpt-4o", {"tool_calls": [{"name": "look", "arguments": {"q": "x"}}], "by_content": [
        {"contains": "Several models have each answered", "then": final},
        {"contains": "what was found", "then": {"tool_calls": [PRIVATE]}},
    ]})  # fmt: skip

    def look(q: str) -> str:
        looked.append(q)
        return "what was found"

    options: dict[str, Any] = {
        "proposers": [FIRST], "deliberate": "auto", "tools": [LOOK], "tool_executor": {"look": look},
    }  # fmt: skip
    content = streamed(ask, **options)[0] if stream else ask(**options).choices[0].message.content
    assert (content, looked) == ("The answer of all.", ["x"])
    proposed = next(record for record in server.ledger.records if record.body["model"] == "gpt-4o-mini")
    assert "what was found" in json.dumps(proposed.body["messages"])
    assert "what was found" in json.dumps(server.ledger.records[-1].body["messages"])


def test_a_tool_step_uses_an_earlier_deliberation_and_asks_nobody_whether(ask: Ask, server: ThreadedServer) -> None:
    call = {"tool_calls": [{"name": "look", "arguments": {"q": "x"}}]}
    script(server, {"tool_calls": [PRIVATE]}, call)
    options: dict[str, Any] = {"proposers": [FIRST], "deliberate": "auto", "tools": [LOOK]}
    message = ask(**options).choices[0].message
    before = len(asked(server))
    script(server, {"text": "unused"}, {"text": "Done."})
    result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "found"}
    second = ask(messages=[*MESSAGES, message.model_dump(), result], **options)
    assert second.choices[0].message.content == "Done."
    assert asked(server)[before:] == ["gpt-4o"]
    assert composite_llm.get_trace(second).reused


def test_an_endpoint_that_refuses_the_tool_deliberates_and_says_so(ask: Ask, server: ThreadedServer) -> None:
    refusal = {"error": {"status": 400, "message": "tools are not supported"}}
    script(server, refusal)
    answer = ask(proposers=[FIRST], deliberate="auto")
    trace = composite_llm.get_trace(answer)
    assert answer.choices[0].message.content == "The answer of all."
    assert trace.degraded_codes == ["gate_failed"]
    assert (trace.degraded[0].stage, trace.degraded[0].member) == ("gate", FINAL)


def test_a_blank_answer_at_the_gate_asks_the_others(ask: Ask, server: ThreadedServer) -> None:
    script(server, {"blank": True})
    answer = ask(proposers=[FIRST], deliberate="auto")
    assert answer.choices[0].message.content == "The answer of all."
    assert "gate_failed" in composite_llm.get_trace(answer).degraded_codes


def test_a_final_model_without_tools_always_deliberates_and_a_note_says_so(
    ask: Ask, server: ThreadedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    import litellm

    name = "openai/no-tools-at-all"
    row = {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 0, "output_cost_per_token": 0}
    monkeypatch.setitem(litellm.model_cost, name, row)
    answer = ask(f"composite/moa/{name}", proposers=[FIRST], deliberate="auto")
    assert asked(server) == ["gpt-4o-mini", "no-tools-at-all"]
    assert "takes no tools" in composite_llm.get_trace(answer).notes[0]


@pytest.mark.parametrize(("max_calls", "models"), [(1, ["gpt-4o"]), (3, ["gpt-4o", "gpt-4o-mini", "gpt-4o"])])
def test_a_cap_counts_the_gate(ask: Ask, server: ThreadedServer, max_calls: int, models: list[str]) -> None:
    script(server, {"tool_calls": [PRIVATE]})
    answer = ask(proposers=[FIRST, SECOND], deliberate="auto", max_calls=max_calls)
    assert asked(server) == models
    assert composite_llm.get_trace(answer).degraded_codes == ["budget_reduced"]


def test_explain_has_both_cases() -> None:
    explained = composite_llm.explain(MOA, MESSAGES, proposers=[FIRST, SECOND], deliberate="auto")
    assert (explained.calls, explained.rounds) == (4, 3)
    alone = explained.without_deliberation
    assert alone is not None
    assert (alone.calls, alone.rounds, alone.latency_class) == (1, 1, "interactive")
    assert explained.worst_cost_usd is not None
    assert alone.worst_cost_usd is not None
    assert alone.worst_cost_usd < explained.worst_cost_usd


def test_the_summary_and_the_page_have_the_gate(ask: Ask, server: ThreadedServer) -> None:
    script(server, {"tool_calls": [PRIVATE]})
    answer = ask(proposers=[FIRST], deliberate="auto", reasoning="full")
    text = answer.choices[0].message.reasoning_content
    assert text.startswith("Gate\n")
    assert "it is contested" in text
    page = composite_llm.get_trace(answer).to_html()
    assert "Gate" in page
    assert page.count('class="card final"') == 1


@pytest.mark.parametrize(
    ("ceiling", "value", "allowed"),
    [(None, "never", True), (None, "auto", True), ("auto", "never", True), ("auto", "always", False)],
)
def test_a_client_of_the_proxy_may_only_ask_for_fewer(ceiling: str | None, value: str, allowed: bool) -> None:
    if allowed:
        check_client([("deliberate", value)], {"deliberate": ceiling}, ())
        return
    with pytest.raises(OptionNotAllowed, match="never or auto"):
        check_client([("deliberate", value)], {"deliberate": ceiling}, ())
