"""Tool calls that go to the caller: unchanged, plain and streamed, however they were asked for."""

from __future__ import annotations

import json
from typing import Any

import pytest

import composite_llm
from fake_server import ThreadedServer
from tests.support import wire
from tests.support.asking import COUNCIL, FIRST, MESSAGES, MOA, SECOND, Ask
from tests.support.streams import streamed, streamed_sync

WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
CLOCK: dict[str, Any] = {"type": "function", "function": {"name": "clock", "parameters": {"type": "object"}}}
TOOLS = [WEATHER, CLOCK]
# Odd white space and a letter beyond ASCII: what a model wrote must come back to the byte.
ASKED = [
    ("call_B", "weather", '{"city":  "Ålesund"}'),
    ("call_A", "clock", "{}"),
    ("call_C", "weather", '{"city": "Oslo"}'),
]
ASKS_FOR_TOOLS = {"tool_calls": [{"id": id_, "name": name, "arguments": text} for id_, name, text in ASKED]}


def as_asked(calls: Any) -> list[tuple[str, str, str]]:
    return [(call.id, call.function.name, call.function.arguments) for call in calls]


@pytest.mark.parametrize("model", [MOA, COUNCIL], ids=["moa", "council"])
def test_tool_calls_come_back_with_their_ids_names_arguments_and_order(
    model: str, ask_both: Ask, server: ThreadedServer
) -> None:
    server.set_scenario("gpt-4o", ASKS_FOR_TOOLS)
    members = {"proposers": [FIRST]} if model == MOA else {"members": [FIRST, SECOND]}
    choice: Any = ask_both(model, tools=TOOLS, **members).choices[0]
    assert as_asked(choice.message.tool_calls) == ASKED
    assert choice.finish_reason == "tool_calls"
    assert all(call.type == "function" for call in choice.message.tool_calls)


@pytest.mark.parametrize("interleaved", [False, True], ids=["one after the other", "interleaved"])
@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_a_streams_tool_calls_add_up_to_the_same(piece: int, interleaved: bool, server: ThreadedServer) -> None:
    scenario = {**ASKS_FOR_TOOLS, "tool_argument_chars": piece, "interleaved_tool_deltas": interleaved}
    server.set_scenario("gpt-4o", scenario)
    answer = streamed_sync(server, tools=TOOLS, proposers=[FIRST])
    assert as_asked(answer.built.choices[0].message.tool_calls) == ASKED
    assert answer.finish_reasons == {0: "tool_calls"}


async def test_an_async_streams_tool_calls_add_up_to_the_same(server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o", ASKS_FOR_TOOLS)
    answer = await streamed(server, tools=TOOLS, proposers=[FIRST])
    assert as_asked(answer.built.choices[0].message.tool_calls) == ASKED


def test_text_beside_a_tool_call_stays(ask: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o", {**ASKS_FOR_TOOLS, "text": "Let me look."})
    assert ask(tools=TOOLS, proposers=[FIRST]).choices[0].message.content == "Let me look."
    assert streamed_sync(server, tools=TOOLS, proposers=[FIRST]).content == "Let me look."


@pytest.mark.parametrize("streams", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize(
    "tool_choice",
    [
        pytest.param("auto", id="auto"),
        pytest.param("none", id="none"),
        pytest.param("required", id="required"),
        pytest.param({"type": "function", "function": {"name": "clock"}}, id="named"),
    ],
)
def test_every_form_of_tool_choice_reaches_the_final_call_and_no_other(
    tool_choice: Any, streams: bool, ask: Ask, server: ThreadedServer
) -> None:
    options = {"tools": TOOLS, "tool_choice": tool_choice, "parallel_tool_calls": False, "proposers": [FIRST]}
    if streams:
        streamed_sync(server, **options)
    else:
        ask(**options)
    final = wire.body(server, "gpt-4o")
    assert (final["tools"], final["tool_choice"], final["parallel_tool_calls"]) == (TOOLS, tool_choice, False)
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & set(wire.body(server, "gpt-4o-mini"))


@pytest.mark.parametrize("function_call", ["auto", "none", {"name": "weather"}], ids=str)
def test_functions_of_older_clients_reach_the_final_call(
    function_call: Any, ask_both: Ask, server: ThreadedServer
) -> None:
    ask_both(functions=[WEATHER["function"]], function_call=function_call, proposers=[FIRST])
    final = wire.body(server, "gpt-4o")
    assert (final["functions"], final["function_call"]) == ([WEATHER["function"]], function_call)
    assert not {"functions", "function_call"} & set(wire.body(server, "gpt-4o-mini"))


@pytest.mark.parametrize("absent", [[], None], ids=["empty list", "None"])
def test_no_tools_are_no_tools(absent: Any, ask: Ask, server: ThreadedServer) -> None:
    ask(tools=absent, proposers=[FIRST])
    assert "tools" not in wire.body(server, "gpt-4o")


def test_members_are_told_which_tools_there_are_and_that_they_only_advise(ask: Ask, server: ThreadedServer) -> None:
    ask(tools=TOOLS, proposers=[FIRST])
    note, question = wire.body(server, "gpt-4o-mini")["messages"]
    assert note["role"] == "system"
    assert "- weather: The weather in a city." in note["content"]
    assert "advising" in note["content"]
    assert question == MESSAGES[0]


def test_a_tool_history_reaches_the_final_model_as_it_is_and_members_as_text(ask: Ask, server: ThreadedServer) -> None:
    calls = [{"id": id_, "type": "function", "function": {"name": n, "arguments": a}} for id_, n, a in ASKED]
    history = [
        {"role": "user", "content": "Where is it warmer?"},
        {"role": "assistant", "content": None, "tool_calls": calls},
        *({"role": "tool", "tool_call_id": id_, "content": f"result of {id_}"} for id_, _, _ in ASKED),
    ]
    ask(messages=history, tools=TOOLS, proposers=[FIRST])
    final = wire.body(server, "gpt-4o")["messages"]
    assert [message["tool_calls"] for message in final if message.get("tool_calls")] == [calls]
    assert [message["tool_call_id"] for message in final if message["role"] == "tool"] == [c[0] for c in ASKED]
    seen = wire.body(server, "gpt-4o-mini")["messages"]
    assert {message["role"] for message in seen} == {"system", "user", "assistant"}
    assert all(f"result of {id_}" in json.dumps(seen) for id_, _, _ in ASKED)
    assert seen[-1]["role"] == "user"


def test_a_member_that_only_asks_for_tools_has_not_answered(ask: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o-mini", ASKS_FOR_TOOLS)
    answer = ask(tools=TOOLS, proposers=[FIRST, SECOND])
    assert any("only a tool call" in (call.error or "") for call in composite_llm.get_trace(answer).calls)
    assert answer.choices[0].message.tool_calls is None


@pytest.mark.parametrize("streams", [False, True], ids=["plain", "streamed"])
def test_a_turn_with_a_tool_that_the_executors_mapping_lacks_goes_to_the_caller_whole(
    streams: bool, ask: Ask, server: ThreadedServer
) -> None:
    ran: list[str] = []
    server.set_scenario("gpt-4o", ASKS_FOR_TOOLS)
    options = {"tools": TOOLS, "tool_executor": {"weather": lambda city: ran.append(city)}, "proposers": [FIRST]}
    answer = streamed_sync(server, **options).built if streams else ask(**options)
    assert as_asked(answer.choices[0].message.tool_calls) == ASKED
    assert answer.choices[0].finish_reason == "tool_calls"
    assert ran == []
    assert len(wire.records(server, "gpt-4o")) == 1
