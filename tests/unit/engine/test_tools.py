from __future__ import annotations

import asyncio
import functools
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from composite_llm.engine.recorder import Recorder
from composite_llm.engine.tools import (
    ToolContext,
    ToolExecutor,
    executor_of,
    parsed_arguments,
    requested,
    run_tools,
    tool_names,
)
from composite_llm.model.errors import InvalidOption
from tests.support.virtual_time import now

CONTEXT = ToolContext("run-1", "chief", "c1")


def calls(*named: tuple[str, str]) -> dict[str, Any]:
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": f"c{at}", "type": "function", "function": {"name": name, "arguments": arguments}}
            for at, (name, arguments) in enumerate(named)
        ],
    }


def add(a: int, b: int = 1) -> int:
    return a + b


async def add_later(a: int, b: int = 1) -> int:
    await asyncio.sleep(1)
    return a + b


class Adder:
    def __call__(self, name: str, arguments: dict[str, Any]) -> int:
        return add(**arguments)


class LaterAdder:
    async def __call__(self, name: str, arguments: dict[str, Any]) -> int:
        return await add_later(**arguments)


class Guard:
    async def run_tool(self, name: str, arguments: dict[str, Any], context: ToolContext) -> str:
        return f"{name} {arguments['a']} for {context.node}"


def returns_a_coroutine(name: str, arguments: dict[str, Any]) -> Any:
    return add_later(**arguments)


async def by_name(name: str, arguments: dict[str, Any]) -> Any:
    return name, arguments


@pytest.mark.parametrize(
    ("source", "result"),
    [
        pytest.param(lambda name, arguments: add(**arguments), 3, id="sync-callable"),
        pytest.param(by_name, ("add", {"a": 2}), id="async-callable"),
        pytest.param(Adder(), 3, id="object-with-call"),
        pytest.param(LaterAdder(), 3, id="object-with-async-call"),
        pytest.param(returns_a_coroutine, 3, id="sync-callable-that-returns-an-awaitable"),
        pytest.param({"add": add}, 3, id="mapping-of-sync"),
        pytest.param({"add": add_later}, 3, id="mapping-of-async"),
        pytest.param({"add": functools.partial(add_later, b=5)}, 7, id="mapping-of-partial"),
        pytest.param(Guard(), "add 2 for chief", id="guard"),
        pytest.param("registered", 3, id="registered-name"),
    ],
)
async def test_an_executor_has_many_forms(source: Any, result: Any) -> None:
    executor = executor_of(source, {"registered": {"add": add}})
    assert executor is not None
    assert await executor.run("add", {"a": 2}, CONTEXT) == result


async def test_a_sync_tool_runs_beside_the_loop_and_sees_its_context() -> None:
    executor = ToolExecutor({"where": lambda: threading.current_thread() is threading.main_thread()})
    assert await executor.run("where", {}, CONTEXT) is False


@pytest.mark.parametrize(
    ("option", "says"),
    [
        pytest.param("unknown", r"got 'unknown'; allowed: a registered name \(calc, web\)", id="unknown-name"),
        pytest.param(5, "is a int; allowed: a callable, a mapping", id="number"),
        pytest.param({"add": "no function"}, r"^tool_executor\.add: is not callable", id="mapping-of-text"),
    ],
)
def test_what_is_no_executor_is_named(option: Any, says: str) -> None:
    with pytest.raises(InvalidOption, match=says):
        executor_of(option, {"web": print, "calc": print})


def test_no_option_is_no_executor() -> None:
    assert executor_of(None, {"web": print}) is None
    with pytest.raises(InvalidOption, match="none is registered"):
        executor_of("web", {})


@pytest.mark.parametrize(
    ("source", "names", "covered"),
    [
        pytest.param(print, ["anything"], True, id="callable-runs-all"),
        pytest.param({"add": add}, ["add", "add"], True, id="mapping-has-them"),
        pytest.param({"add": add}, ["add", "other"], False, id="mapping-lacks-one"),
    ],
)
def test_a_mapping_covers_only_its_own_tools(source: Any, names: list[str], covered: bool) -> None:
    assert ToolExecutor(source).covers(names) is covered


@pytest.mark.parametrize(
    ("raw", "arguments"),
    [(None, {}), ("", {}), ("{}", {}), ('{"a": [1]}', {"a": [1]}), ({"a": 1}, {"a": 1})],
    ids=str,
)
def test_arguments_are_a_json_object_or_nothing(raw: Any, arguments: dict[str, Any]) -> None:
    assert parsed_arguments(raw) == arguments


@pytest.mark.parametrize("raw", ["{", "[1]", "1", "null", "'a'", 5, "[" * 100_000], ids=lambda raw: str(raw)[:5])
def test_other_arguments_are_a_value_error(raw: Any) -> None:
    with pytest.raises(ValueError, match="the arguments are not"):
        parsed_arguments(raw)


@given(st.text())
def test_any_text_of_arguments_is_read_or_refused(raw: str) -> None:
    outcome: object = None
    try:
        outcome = parsed_arguments(raw)
    except ValueError as error:
        outcome = str(error)
    assert isinstance(outcome, dict) or "the arguments are not" in str(outcome)


def test_an_older_function_call_is_asked_for_too() -> None:
    message = {"role": "assistant", "content": None, "function_call": {"name": "add", "arguments": "{}"}}
    assert tool_names(message) == ["add"]
    assert requested(calls(("add", "{}")))[0]["id"] == "c0"
    assert tool_names({"role": "assistant", "content": "x"}) == []


async def run(source: Any, message: dict[str, Any], round_number: int = 1) -> Any:
    executor = executor_of(source, {})
    assert executor is not None
    return await run_tools(executor, message, Recorder("run-1"), "chief", round_number)


async def test_the_calls_of_a_turn_run_at_once_and_their_results_go_back_in_order() -> None:
    async def slow(name: str, arguments: dict[str, Any]) -> Any:
        await asyncio.sleep(arguments["s"])
        return {"slept": arguments["s"]}

    message = calls(("a", '{"s": 3}'), ("b", '{"s": 1}'))
    messages, records = await run(slow, message, 2)
    assert now() == 3
    assert messages == [
        {"role": "assistant", "content": None, "tool_calls": message["tool_calls"]},
        {"role": "tool", "tool_call_id": "c0", "content": '{"slept": 3}'},
        {"role": "tool", "tool_call_id": "c1", "content": '{"slept": 1}'},
    ]
    assert [(record.id, record.name, record.round, record.duration_s) for record in records] == [
        ("c0", "a", 2, 3),
        ("c1", "b", 2, 1),
    ]
    assert records[0].arguments == {"s": 3}


async def test_an_older_function_call_is_answered_in_its_own_form() -> None:
    legacy = {"role": "assistant", "content": None, "function_call": {"name": "add", "arguments": '{"a": 2}'}}
    messages, _ = await run({"add": add}, legacy)
    assert messages == [legacy, {"role": "function", "name": "add", "content": "3"}]


class Nameless(Exception):
    pass


def raising(error: BaseException) -> Any:
    def tool(name: str, arguments: dict[str, Any]) -> None:
        raise error

    return tool


@pytest.mark.parametrize(
    ("source", "arguments", "says"),
    [
        pytest.param(raising(ValueError("no such city")), "{}", "Error: ValueError: no such city", id="exception"),
        pytest.param(raising(Nameless()), "{}", "Error: Nameless", id="exception-without-a-text"),
        pytest.param(raising(TimeoutError()), "{}", "Error: TimeoutError", id="timeout-of-the-tools-own"),
        pytest.param(raising(StopIteration("x")), "{}", "Error: RuntimeError: StopIteration: x", id="stop-iteration"),
        pytest.param({"t": add}, '{"z": 1}', "Error: TypeError: ", id="unexpected-argument"),
        pytest.param({"t": add}, "{}", "Error: TypeError: ", id="missing-argument"),
        pytest.param({"t": add}, "{", "Error: the arguments are not valid JSON", id="malformed-arguments"),
        pytest.param({"t": add}, "[1]", "Error: the arguments are not a JSON object", id="arguments-as-a-list"),
    ],
)
async def test_what_goes_wrong_in_a_tool_is_its_answer_to_the_model(source: Any, arguments: str, says: str) -> None:
    messages, (record,) = await run(source, calls(("t", arguments)))
    assert messages[1]["content"].startswith(says)
    assert record.result is None
    assert record.error is not None


async def test_one_tools_failure_leaves_the_others_alone() -> None:
    def pick(name: str, arguments: dict[str, Any]) -> str:
        if name == "bad":
            raise ValueError("broken")
        return "good"

    messages, _ = await run(pick, calls(("bad", "{}"), ("good", "{}")))
    assert [message["content"] for message in messages[1:]] == ["Error: ValueError: broken", "good"]
