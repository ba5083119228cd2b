from __future__ import annotations

from typing import Any

import pytest

from composite_llm.backend.interface import Reply
from composite_llm.engine.answer import ToolPolicy, answer
from composite_llm.engine.tools import executor_of
from composite_llm.model.events import ToolsRun
from tests.support.benches import QUESTION, Desk, collected, desk, subcall
from tests.support.scripted_backend import Say, Step, asking_for

TOOLS = [{"type": "function", "function": {"name": "look"}}, {"type": "function", "function": {"name": "other"}}]
LOOK = asking_for(("c1", "look", '{"at": "sky"}'))
BOTH = pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])


def look(at: str = "") -> str:
    return f"{at} is blue"


async def answered(
    at: Desk, *, streamed: bool, source: Any = None, max_rounds: int = 8, **params: Any
) -> tuple[str, Reply]:
    policy = ToolPolicy(executor_of(source if source is not None else {"look": look}, {}), max_rounds)
    wanted = subcall("a", stage="aggregate", final=True, params={"tools": TOOLS, **params})
    text, reply = await collected(answer(at.scope, wanted, policy, streamed=streamed))
    return text, reply


@BOTH
async def test_a_tool_is_run_and_the_model_asked_again_with_its_result(streamed: bool) -> None:
    at = desk({"a": [LOOK, Say("Because.")]})
    _, reply = await answered(at, streamed=streamed)
    assert reply.message["content"] == "Because."
    assert "tool_calls" not in reply.message
    second = at.backend.requests[1].messages
    assert list(second[: len(QUESTION)]) == QUESTION
    assert [message["role"] for message in second[len(QUESTION) :]] == ["assistant", "tool"]
    assert second[-1] == {"role": "tool", "tool_call_id": "c1", "content": "sky is blue"}
    (event,) = [event for event in at.events if isinstance(event, ToolsRun)]
    assert [(record.name, record.result) for record in event.records] == [("look", "sky is blue")]
    assert at.scope.recorder.tool_calls == list(event.records)


@BOTH
@pytest.mark.parametrize(
    ("step", "source"),
    [
        pytest.param(asking_for(("c1", "look", "{}"), ("c2", "other", "{}")), None, id="a-mapping-that-lacks-one"),
        pytest.param(asking_for(("c2", "other", "{}")), None, id="a-mapping-that-lacks-it"),
    ],
)
async def test_a_turn_with_a_tool_that_is_not_ours_goes_to_the_caller_and_nothing_is_run(
    step: Step, source: Any, streamed: bool
) -> None:
    ran: list[str] = []
    at = desk({"a": step})
    _, reply = await answered(at, streamed=streamed, source={"look": lambda: ran.append("look")})
    assert [call["function"]["name"] for call in reply.message["tool_calls"]][-1] == "other"
    assert reply.finish_reason == "tool_calls"
    assert ran == []
    assert len(at.backend.requests) == 1
    assert at.scope.recorder.tool_calls == []


@BOTH
async def test_when_the_rounds_are_used_up_the_model_must_answer_without(streamed: bool) -> None:
    at = desk({"a": [LOOK, LOOK, Say("Enough.")]})
    _, reply = await answered(at, streamed=streamed, max_rounds=2, parallel_tool_calls=True)
    assert reply.message["content"] == "Enough."
    assert [request.params.get("tool_choice") for request in at.backend.requests] == [None, None, "none"]
    assert all(request.params["tools"] == TOOLS for request in at.backend.requests)
    assert "parallel_tool_calls" not in at.backend.requests[-1].params


@BOTH
async def test_a_model_that_asks_for_tools_all_the_same_gets_none(streamed: bool) -> None:
    at = desk({"a": [LOOK, asking_for(("c2", "look", "{}"), text="I would look.")]})
    text, reply = await answered(at, streamed=streamed, max_rounds=1)
    assert reply.message["content"] == "I would look."
    assert "tool_calls" not in reply.message
    assert reply.finish_reason == "stop"
    assert text in ("", "I would look.")
    assert any("max_tool_rounds" in reason for reason in at.scope.recorder.degraded)


async def test_no_round_at_all_is_a_limit_too() -> None:
    at = desk({"a": Say("fine")})
    await answered(at, streamed=False, max_rounds=0)
    assert at.backend.requests[0].params["tool_choice"] == "none"


@pytest.mark.parametrize(
    ("forced", "later"),
    [
        pytest.param("required", "auto", id="required"),
        pytest.param({"type": "function", "function": {"name": "look"}}, "auto", id="named"),
        pytest.param("auto", "auto", id="auto"),
        pytest.param(None, None, id="absent"),
    ],
)
async def test_a_forced_tool_is_free_after_its_first_round(forced: Any, later: Any) -> None:
    at = desk({"a": [LOOK, Say("fine")]})
    await answered(at, streamed=False, **({"tool_choice": forced} if forced else {}))
    assert [request.params.get("tool_choice") for request in at.backend.requests] == [forced, later]


SPOKEN = pytest.mark.parametrize(
    ("steps", "text"),
    [
        pytest.param(
            [asking_for(("c", "look", "{}"), text="Let me| look."), Say("It| is.")], "Let me look.\n\nIt is.", id="both"
        ),
        pytest.param([LOOK, Say("It is.")], "It is.", id="only-the-last"),
        pytest.param(
            [asking_for(("c", "look", "{}"), text="One."), LOOK, Say("Two.")], "One.\n\nTwo.", id="a-mute-turn-between"
        ),
        pytest.param(
            [asking_for(("c", "look", "{}"), text="One."), asking_for(("d", "look", "{}"), text="Two."), Say("Three.")],
            "One.\n\nTwo.\n\nThree.",
            id="three-turns",
        ),
    ],
)


@SPOKEN
async def test_text_between_rounds_is_part_of_the_answer_and_the_same_in_both_forms(
    steps: list[Step], text: str
) -> None:
    streamed, reply = await answered(desk({"a": steps}), streamed=True)
    assert streamed == reply.message["content"] == text
    _, plain = await answered(desk({"a": steps}), streamed=False)
    assert plain.message["content"].replace("|", "") == text


@BOTH
async def test_with_a_response_format_only_the_last_turn_counts(streamed: bool) -> None:
    at = desk({"a": [asking_for(("c", "look", "{}"), text="Let me look."), Say('{"a": 1}')]})
    text, reply = await answered(at, streamed=streamed, response_format={"type": "json_object"})
    assert reply.message["content"] == '{"a": 1}'
    assert text == ('{"a": 1}' if streamed else "")


@BOTH
async def test_without_tools_an_executor_is_not_used(streamed: bool) -> None:
    at = desk({"a": LOOK})
    policy = ToolPolicy(executor_of({"look": look}, {}))
    _, reply = await collected(answer(at.scope, subcall("a", final=True), policy, streamed=streamed))
    assert reply.message["tool_calls"]


@BOTH
async def test_without_an_executor_the_calls_go_to_the_caller(streamed: bool) -> None:
    at = desk({"a": LOOK})
    wanted = subcall("a", final=True, params={"tools": TOOLS})
    _, reply = await collected(answer(at.scope, wanted, ToolPolicy(), streamed=streamed))
    assert reply.message["tool_calls"][0]["function"] == {"name": "look", "arguments": '{"at": "sky"}'}


@BOTH
async def test_older_functions_have_their_rounds_too(streamed: bool) -> None:
    legacy = Say(None, finish_reason="function_call", more={"function_call": {"name": "look", "arguments": "{}"}})
    at = desk({"a": [legacy, legacy, Say("fine")]})
    policy = ToolPolicy(executor_of({"look": look}, {}), max_rounds=2)
    wanted = subcall("a", final=True, params={"functions": [{"name": "look"}]})
    _, reply = await collected(answer(at.scope, wanted, policy, streamed=streamed))
    assert reply.message["content"] == "fine"
    assert at.backend.requests[-1].params["function_call"] == "none"
    assert at.backend.requests[1].messages[-1]["role"] == "function"
