"""Tools that the composite runs on the caller's behalf, with the real LiteLLM, plain and streamed."""

from __future__ import annotations

import asyncio
import copy
import itertools
import json
import threading
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import litellm
import pytest

import composite_llm
from composite_llm.model.trace import Trace
from fake_server import ThreadedServer
from tests.support import wire
from tests.support.asking import COUNCIL, FIRST, KEY, MESSAGES, MOA, SECOND, Ask
from tests.support.interpreter import run_program
from tests.support.streams import streamed_sync

LOOK: dict[str, Any] = {
    "type": "function",
    "function": {"name": "look", "parameters": {"type": "object", "properties": {"at": {"type": "string"}}}},
}
OTHER: dict[str, Any] = {"type": "function", "function": {"name": "other", "parameters": {"type": "object"}}}
TOOLS = [LOOK, OTHER]

Outcome = tuple[str, Trace, str]
Run = Callable[..., Outcome]


def look(at: str = "nowhere") -> str:
    return f"{at} is blue"


async def look_later(at: str = "nowhere") -> str:
    await asyncio.sleep(0)
    return f"{at} is blue"


def by_name(name: str, arguments: dict[str, Any]) -> str:
    if name != "look":
        raise LookupError(f"there is no tool {name}")
    return look(**arguments)


async def by_name_later(name: str, arguments: dict[str, Any]) -> str:
    return by_name(name, arguments)


def asks(*calls: tuple[str, str, Any], **more: Any) -> dict[str, Any]:
    return {"tool_calls": [{"id": id_, "name": name, "arguments": given} for id_, name, given in calls], **more}


ONE = asks(("c1", "look", {"at": "sky"}))
DONE = {"text": "It is done."}


@pytest.fixture(params=["plain", "streamed"])
def run(request: pytest.FixtureRequest, ask: Ask, server: ThreadedServer) -> Run:
    """One question with tools: the answer's text, the trace and the reasoning."""

    def asked(executor: Any, *steps: dict[str, Any], **options: Any) -> Outcome:
        server.set_scenario("gpt-4o", {"sequence": [*steps, DONE]} if steps else DONE)
        given = {"tools": TOOLS, "proposers": [FIRST], "tool_executor": executor, **options}
        if request.param == "streamed":
            streamed = streamed_sync(server, **given)
            assert list(streamed.finish_reasons) == [0]
            return streamed.content, streamed.trace, streamed.reasoning
        answer: Any = ask(**given)
        message = answer.choices[0].message
        return message.content, composite_llm.get_trace(answer), message.reasoning_content

    return asked


def results(server: ThreadedServer) -> list[str]:
    """What the final model was told last by its tools."""
    sent = wire.records(server, "gpt-4o")[-1].body["messages"]
    return [message["content"] for message in sent if message["role"] == "tool"]


@pytest.mark.parametrize(
    "executor",
    [
        pytest.param(by_name, id="callable"),
        pytest.param(by_name_later, id="async callable"),
        pytest.param({"look": look}, id="mapping"),
        pytest.param({"look": look_later}, id="mapping of async"),
        pytest.param("registered", id="registered name"),
        pytest.param(composite_llm.ToolGuard({"look": look}, mode="trust"), id="guard"),
    ],
)
def test_every_form_of_executor_runs_the_tool(executor: Any, run: Run, server: ThreadedServer) -> None:
    composite_llm.register(tool_executors={"registered": {"look": look}})
    text, trace, reasoning = run(executor, ONE)
    assert text == "It is done."
    assert results(server) == ["sky is blue"]
    (record,) = trace.tool_calls
    assert (record.id, record.name, record.round, record.arguments) == ("c1", "look", 1, {"at": "sky"})
    assert (record.result, record.error) == ("sky is blue", None)
    assert record.start_s >= 0
    assert record.duration_s >= 0
    assert "tool look (round 1): ok" in reasoning
    assert "sky" not in reasoning
    assert Trace.model_validate_json(trace.model_dump_json()) == trace
    assert [call.stage for call in trace.calls] == ["propose", "aggregate", "aggregate"]


def test_a_council_runs_tools_too(ask: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o", {"sequence": [ONE, DONE]})
    answer: Any = ask(COUNCIL, members=[FIRST, SECOND], tools=TOOLS, tool_executor={"look": look})
    assert answer.choices[0].message.content == "It is done."
    assert results(server) == ["sky is blue"]
    assert len(wire.records(server, "gpt-4o-mini")) == 2


def test_an_unknown_registered_name_is_told_before_any_call(ask: Ask, server: ThreadedServer) -> None:
    with pytest.raises(litellm.BadRequestError, match="tool_executor: got 'nobody'"):
        ask(tools=TOOLS, tool_executor="nobody")
    assert server.ledger.records == []


def test_the_prompts_prefix_stays_the_same_from_round_to_round(run: Run, server: ThreadedServer) -> None:
    run(by_name, ONE, asks(("c2", "look", {}), text="Once more."), asks(("c3", "look", {})))
    prompts = [[json.dumps(m) for m in record.body["messages"]] for record in wire.records(server, "gpt-4o")]
    assert [len(prompt) for prompt in prompts] == [2, 4, 6, 8]
    assert all(later[: len(earlier)] == earlier for earlier, later in pairwise(prompts))
    assert len(wire.records(server, "gpt-4o-mini")) == 1


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_the_calls_of_one_turn_run_at_once_and_their_results_go_back_in_order(
    is_async: bool, run: Run, server: ThreadedServer
) -> None:
    all_in = threading.Barrier(3, timeout=10)
    waiting: list[asyncio.Event] = []

    def together(name: str, arguments: dict[str, Any]) -> str:
        all_in.wait()
        return f"{name} {arguments['n']}"

    async def together_async(name: str, arguments: dict[str, Any]) -> str:
        waiting.append(asyncio.Event())
        if len(waiting) == 3:
            for event in waiting:
                event.set()
        await waiting[-1].wait()
        return f"{name} {arguments['n']}"

    _, trace, _ = run(
        together_async if is_async else together,
        asks(("c1", "look", {"n": 1}), ("c2", "other", {"n": 2}), ("c3", "look", {"n": 3})),
    )
    assert results(server) == ["look 1", "other 2", "look 3"]
    assert [record.id for record in trace.tool_calls] == ["c1", "c2", "c3"]


def test_a_result_that_is_no_text_is_sent_as_json(run: Run, server: ThreadedServer) -> None:
    run(lambda name, arguments: {"städte": ["Oslo", 1.5, None]}, ONE)
    assert results(server) == ['{"städte": ["Oslo", 1.5, null]}']


def exits(name: str, arguments: dict[str, Any]) -> None:
    raise SystemExit(3)


async def exits_later(name: str, arguments: dict[str, Any]) -> None:
    raise SystemExit(3)


async def cancels_itself(name: str, arguments: dict[str, Any]) -> None:
    raise asyncio.CancelledError


def raises(name: str, arguments: dict[str, Any]) -> None:
    raise ValueError("no such place")


class Unprintable:
    def __str__(self) -> str:
        raise KeyError("cannot be shown")


@pytest.mark.parametrize(
    ("executor", "step", "told"),
    [
        pytest.param(raises, ONE, "Error: ValueError: no such place", id="raises"),
        pytest.param(exits, ONE, "Error: RuntimeError: SystemExit: 3", id="exits the program"),
        pytest.param(exits_later, ONE, "Error: RuntimeError: SystemExit: 3", id="exits the program, async"),
        pytest.param(cancels_itself, ONE, "Error: CancelledError", id="cancels itself"),
        pytest.param(
            by_name, asks(("c", "look", '{"at": ')), "Error: the arguments are not valid JSON", id="malformed arguments"
        ),
        pytest.param(
            by_name, asks(("c", "look", "[1]")), "Error: the arguments are not a JSON object", id="arguments are a list"
        ),
        pytest.param(by_name, asks(("c", "nobody", {})), "Error: LookupError: there is no tool nobody", id="unknown"),
        pytest.param(lambda name, arguments: b"\xffraw", ONE, "�raw", id="bytes"),
        pytest.param(lambda name, arguments: "name\ud800", ONE, "name\ufffd", id="text that cannot be sent"),
        pytest.param(lambda name, arguments: None, ONE, "null", id="nothing"),
        pytest.param(lambda name, arguments: Unprintable(), ONE, "Error: KeyError", id="cannot be shown"),
    ],
)
def test_whatever_a_tool_does_the_model_is_told_and_answers(
    executor: Any, step: dict[str, Any], told: str, run: Run, server: ThreadedServer
) -> None:
    # The schema check is off: it would ask the model to write its arguments again first.
    text, trace, reasoning = run(executor, step, validate_output=False)
    assert text == "It is done."
    (shown,) = results(server)
    assert shown.startswith(told)
    (record,) = trace.tool_calls
    assert (record.error is not None) is told.startswith("Error")
    assert ("failed" in reasoning) is (record.error is not None)


def test_a_result_longer_than_the_context_window_is_a_clear_error(ask: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o", {"sequence": [ONE, DONE]})
    with pytest.raises(
        composite_llm.FinalCallFailed, match="longer than its context window of 128000 tokens"
    ) as raised:
        ask(tools=TOOLS, proposers=[FIRST], tool_executor=lambda name, arguments: "word " * 2_000_000)
    assert raised.value.status_code == 400
    assert len(str(raised.value)) < 300
    assert raised.value.trace is not None
    assert [record.name for record in raised.value.trace.tool_calls] == ["look"]


def test_two_calls_with_the_same_id_both_run(run: Run, server: ThreadedServer) -> None:
    text, trace, _ = run(by_name, asks(("same", "look", {"at": "sea"}), ("same", "look", {"at": "sky"})))
    assert text == "It is done."
    assert results(server) == ["sea is blue", "sky is blue"]
    assert [record.id for record in trace.tool_calls] == ["same", "same"]


def test_calls_without_an_id_get_one(run: Run, server: ThreadedServer) -> None:
    run(by_name, asks(("", "look", {"at": "sea"}), ("", "look", {"at": "sky"})))
    *_, turn, first, second = wire.records(server, "gpt-4o")[-1].body["messages"]
    ids = [call["id"] for call in turn["tool_calls"]]
    assert ids == [first["tool_call_id"], second["tool_call_id"]]
    assert all(ids)
    assert len(set(ids)) == 2


def test_a_tool_called_forever_ends_when_the_rounds_are_used_up(run: Run, server: ThreadedServer) -> None:
    text, trace, _ = run(by_name, *[asks((f"c{n}", "look", {}), text=f"turn {n}") for n in range(9)], max_tool_rounds=3)
    assert text == "turn 0\n\nturn 1\n\nturn 2\n\nturn 3"
    assert [record.round for record in trace.tool_calls] == [1, 2, 3]
    asked = [record.body for record in wire.records(server, "gpt-4o")]
    assert [body.get("tool_choice") for body in asked] == [None, None, None, "none"]
    assert all(body["tools"] == TOOLS for body in asked)
    assert any(reason.startswith("tool_rounds_used_up") for reason in trace.degraded)


@pytest.mark.parametrize(("rounds", "noticed"), [(2, False), (3, True), (7, True)])
def test_rounds_of_the_same_calls_are_noticed_at_the_third(
    rounds: int, noticed: bool, run: Run, server: ThreadedServer
) -> None:
    text, trace, reasoning = run(by_name, *[asks((f"c{n}", "look", {"at": "sky"})) for n in range(rounds)])
    assert text == "It is done."
    entries = [reason for reason in trace.degraded if reason.startswith("tool_calls_repeated")]
    assert len(entries) == noticed
    assert ("the same tool calls 3 times in a row" in reasoning) is noticed


def test_rounds_with_other_arguments_or_results_are_not_alike(run: Run, server: ThreadedServer) -> None:
    count = itertools.count()
    other_results = [asks((f"c{n}", "look", {"at": "sky"})) for n in range(5)]
    _, trace, _ = run(lambda name, arguments: next(count), *other_results)
    assert list(trace.degraded) == []
    _, trace, _ = run(by_name, *[asks((f"c{n}", "look", {"at": f"sky {n}"})) for n in range(6)])
    assert list(trace.degraded) == []


@pytest.mark.parametrize(("rounds", "noticed"), [(5, False), (6, True), (8, True)])
def test_two_rounds_in_turns_are_noticed_when_they_come_the_third_time(rounds: int, noticed: bool, run: Run) -> None:
    _, trace, _ = run(by_name, *[asks((f"c{n}", "look", {"at": f"sky {n % 2}"})) for n in range(rounds)])
    entries = [reason for reason in trace.degraded if reason.startswith("tool_calls_repeated")]
    assert len(entries) == noticed


def test_rounds_that_are_used_up_are_told_also_when_an_answer_follows(run: Run, server: ThreadedServer) -> None:
    text, trace, _ = run(by_name, asks(("c1", "look", {})), max_tool_rounds=1)
    assert text == "It is done."
    assert [reason.split(":")[0] for reason in trace.degraded] == ["tool_rounds_used_up"]


def test_eight_rounds_are_the_default(run: Run, server: ThreadedServer) -> None:
    run(by_name, *[asks((f"c{n}", "look", {})) for n in range(20)])
    assert [record.body.get("tool_choice") for record in wire.records(server, "gpt-4o")] == [None] * 8 + ["none"]


def test_text_between_rounds_belongs_to_the_answer_in_both_forms(run: Run) -> None:
    text, _, _ = run(by_name, asks(("c1", "look", {}), text="Let me look."))
    assert text == "Let me look.\n\nIt is done."


def test_the_callers_messages_tools_and_executor_are_left_alone(run: Run) -> None:
    messages, tools, executor = copy.deepcopy(MESSAGES), copy.deepcopy(TOOLS), {"look": look}
    run(executor, ONE, messages=messages, tools=tools)
    assert (messages, tools, executor) == (MESSAGES, TOOLS, {"look": look})


def test_older_functions_are_run_too(ask: Ask, server: ThreadedServer) -> None:
    answer: Any = ask(functions=[LOOK["function"]], tool_executor={"look": look}, proposers=[FIRST])
    assert answer.choices[0].message.content
    assert wire.body(server, "gpt-4o")["functions"] == [LOOK["function"]]


def test_what_we_offer_as_executor_survives_a_routers_copies(server: ThreadedServer, tmp_path: Path) -> None:
    server.set_scenario("gpt-4o", {"sequence": [ONE, DONE]})
    guard = composite_llm.ToolGuard({"look": look}, allow=["look"], audit=tmp_path / "audit.jsonl")
    assert copy.deepcopy({"tool_executor": guard})["tool_executor"] is guard
    deployed = {
        "model": MOA,
        "api_base": server.base_url,
        "api_key": KEY,
        "proposers": [FIRST],
        "tool_executor": guard,
    }
    router = litellm.Router(model_list=[{"model_name": "wise", "litellm_params": deployed}], num_retries=0)
    answer: Any = router.completion(model="wise", messages=MESSAGES, tools=TOOLS)
    assert answer.choices[0].message.content == "It is done."
    assert len((tmp_path / "audit.jsonl").read_text().splitlines()) == 1


# --- under guard ---------------------------------------------------------------------------------------------------


@pytest.fixture
def released() -> Iterator[threading.Event]:
    """Set when the test is over, so that no thread outlives it."""
    event = threading.Event()
    yield event
    event.set()


def test_a_guarded_run_ends_whatever_the_tools_do_and_the_audit_has_every_call(
    run: Run, released: threading.Event, tmp_path: Path, server: ThreadedServer
) -> None:
    async def hangs_async() -> None:
        await asyncio.Event().wait()

    def fails() -> None:
        raise ValueError("y" * 10_000_000)

    tools: dict[str, Any] = {
        "hangs": lambda: released.wait(30),
        "hangs_async": hangs_async,
        "fails": fails,
        "huge": lambda: "x" * 10_000_000,
        "raw": lambda: b"\x00\xff",
        "fine": lambda: "fine",
    }
    audit = tmp_path / "audit.jsonl"
    guard = composite_llm.ToolGuard(tools, mode="trust", timeout_s=0.2, max_output_bytes=1000, audit=audit)
    first = asks(*[(f"c{at}", name, {}) for at, name in enumerate(tools)], ("c9", "fine", '{"at'), ("c9", "fine", "{}"))
    again = asks(("c10", "fine", {}))
    text, trace, _ = run(guard, first, again, validate_output=False)
    assert text == "It is done."
    lines = [json.loads(line) for line in audit.read_text().splitlines()]
    assert sorted(line["call"] for line in lines) == sorted(record.id for record in trace.tool_calls)
    assert {line["run"] for line in lines} == {trace.id}
    assert {line["node"] for line in lines} == {"openai/gpt-4o"}
    errors = {line["tool"]: line["error"] for line in lines if line["error"]}
    assert errors == {
        "hangs": "TimeoutError",
        "hangs_async": "TimeoutError",
        "fails": "ValueError",
        "fine": "MalformedArguments",
    }
    assert all(len(message) < 1200 for message in results(server))
    assert "Error: TimeoutError: hangs did not finish within 0.2 s" in results(server)


def test_a_refusal_is_told_to_the_model_and_the_tool_does_not_run(run: Run, server: ThreadedServer) -> None:
    ran: list[str] = []
    guard = composite_llm.ToolGuard(lambda name, arguments: ran.append(name), approve=lambda name, arguments: False)
    text, trace, _ = run(guard, ONE)
    assert text == "It is done."
    assert results(server) == ["Error: ToolRefused: the call of look was not approved"]
    assert trace.tool_calls[0].error == "ToolRefused: the call of look was not approved"
    assert ran == []


def test_the_interpreter_exits_although_a_sync_tool_hangs(server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o", {"sequence": [ONE, DONE]})
    call = {"model": MOA, "proposers": [FIRST], "messages": MESSAGES, "tools": TOOLS, "api_key": KEY}
    done = run_program(
        f"""
        import threading
        import composite_llm, litellm
        composite_llm.register()
        guard = composite_llm.ToolGuard({{"look": lambda at: threading.Event().wait()}}, mode="trust", timeout_s=0.1)
        answer = litellm.completion(**{call!r}, api_base={server.base_url!r}, tool_executor=guard)
        print(answer.choices[0].message.content)
        """
    )
    assert (done.stdout, done.returncode) == ("It is done.\n", 0), done.stderr


def test_a_run_out_of_time_does_not_wait_for_its_tool(
    ask: Ask, released: threading.Event, server: ThreadedServer
) -> None:
    server.set_scenario("gpt-4o", ONE)
    with pytest.raises(litellm.Timeout, match="stages finished: propose"):
        ask(tools=TOOLS, proposers=[FIRST], tool_executor={"look": lambda at: released.wait(30)}, timeout=0.5)


def test_a_person_may_take_their_time_to_approve_without_holding_up_other_runs(
    ask: Ask, server: ThreadedServer
) -> None:
    """A sync `approve` blocks; the loop that it would block is the one of all runs of the process."""
    server.set_scenario("gpt-4o", {"by_content": [{"contains": "Quick one.", "then": DONE}], "sequence": [ONE, DONE]})
    answers: list[str] = []

    def approve(name: str, arguments: dict[str, Any]) -> bool:
        other = ask(messages=[{"role": "user", "content": "Quick one."}], proposers=[FIRST])
        answers.append(other.choices[0].message.content)
        return True

    guard = composite_llm.ToolGuard({"look": look}, approve=approve, timeout_s=5)
    answer: Any = ask(tools=TOOLS, proposers=[FIRST], tool_executor=guard, timeout=20)
    assert answers == ["It is done."]
    assert answer.choices[0].message.content == "It is done."
