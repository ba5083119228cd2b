"""Images, sounds and files: who gets them, and what the others get."""

from __future__ import annotations

import copy
from typing import Any

import litellm
import pytest

import composite_llm
from fake_server import ThreadedServer
from tests.support import wire
from tests.support.asking import COUNCIL, FIRST, SECOND, Ask
from tests.support.streams import streamed_sync

BLIND = "openai/gpt-3.5-turbo"
BLIND_TOO = "openai/gpt-4"
ASK = {"type": "text", "text": "What is this?"}
PARTS: dict[str, dict[str, Any]] = {
    "image": {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGVsbG8=", "detail": "low"}},
    "audio": {"type": "input_audio", "input_audio": {"data": "aGVsbG8=", "format": "wav"}},
    "file": {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,aGVsbG8="}},
}
# A model that takes such a part, by LiteLLM's own table.
TAKES = {"image": "openai/gpt-4o-mini", "audio": "openai/gpt-4o-audio-preview", "file": "openai/gpt-4o-mini"}


def holding(kind: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [ASK, PARTS[kind]]}]


def seen(server: ThreadedServer, model: str) -> Any:
    return wire.body(server, model.removeprefix("openai/"))["messages"][0]["content"]


@pytest.mark.parametrize("kind", PARTS)
def test_a_part_reaches_who_takes_it_as_it_is_and_the_others_as_a_note(
    kind: str, ask_both: Ask, server: ThreadedServer
) -> None:
    messages = holding(kind)
    before = copy.deepcopy(messages)
    final = "openai/gpt-4o-audio-preview" if kind == "audio" else "openai/gpt-4o"
    proposers = [TAKES[kind], BLIND] if kind != "audio" else [{"model": TAKES[kind], "name": "hears"}, BLIND]
    answer = ask_both(f"composite/moa/{final}", messages=messages, proposers=proposers)
    assert messages == before
    note = {"type": "text", "text": f"[{kind} not shown to you]"}
    assert seen(server, BLIND) == [ASK, note]
    whole = [
        record.body["messages"][0]["content"] for record in server.ledger.records if "3.5" not in str(record.model)
    ]
    assert whole == [[ASK, PARTS[kind]]] * 2
    assert composite_llm.get_trace(answer).degraded == []


def test_a_final_model_that_cannot_see_gets_a_note_and_the_answers_of_who_can(ask: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o-mini", {"text": "A bridge."})
    ask(f"composite/moa/{BLIND}", messages=holding("image"), proposers=[FIRST])
    assert seen(server, FIRST) == [ASK, PARTS["image"]]
    prompt = wire.body(server, "gpt-3.5-turbo")["messages"]
    assert prompt[0]["content"] == [ASK, {"type": "text", "text": "[image not shown to you]"}]
    assert "A bridge." in prompt[1]["content"]


def test_a_councils_members_and_reviewers_get_it_each_by_its_own_model(ask: Ask, server: ThreadedServer) -> None:
    ask(COUNCIL, messages=holding("image"), members=[FIRST, BLIND])
    for model, part in ((FIRST, PARTS["image"]), (BLIND, {"type": "text", "text": "[image not shown to you]"})):
        requests = wire.records(server, model.removeprefix("openai/"))
        assert [record.body["messages"][0]["content"] for record in requests] == [[ASK, part]] * 2


@pytest.mark.parametrize("kind", PARTS)
@pytest.mark.parametrize("model", ["moa", "council"])
@pytest.mark.parametrize("streams", [False, True], ids=["plain", "streamed"])
def test_when_no_member_takes_it_that_is_an_error_before_any_call(
    streams: bool, model: str, kind: str, ask: Ask, server: ThreadedServer
) -> None:
    members = {"proposers" if model == "moa" else "members": [BLIND, BLIND_TOO]}
    options: dict[str, Any] = {"model": f"composite/{model}/openai/gpt-4o", "messages": holding(kind), **members}
    with pytest.raises(litellm.BadRequestError, match=f"holds content of type {kind}, which none of") as raised:
        streamed_sync(server, **options) if streams else ask(**options)
    assert BLIND in str(raised.value)
    assert BLIND_TOO in str(raised.value)
    assert server.ledger.records == []


def test_a_model_that_the_table_does_not_know_gets_everything(ask: Ask, server: ThreadedServer) -> None:
    ask(messages=holding("image"), proposers=["openai/my-own-model"])
    assert seen(server, "openai/my-own-model") == [ASK, PARTS["image"]]


def test_an_image_of_an_earlier_turn_counts_too(ask: Ask, server: ThreadedServer) -> None:
    history = [*holding("image"), {"role": "assistant", "content": "A bridge."}, {"role": "user", "content": "Where?"}]
    ask(messages=history, proposers=[SECOND, BLIND])
    assert seen(server, SECOND) == [ASK, PARTS["image"]]
    assert seen(server, BLIND)[1] == {"type": "text", "text": "[image not shown to you]"}


def test_a_fallback_gets_what_it_takes(ask: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o-mini", {"error": {"status": 400}})
    ask(messages=holding("image"), proposers=[{"model": FIRST, "num_retries": 0, "fallbacks": [BLIND]}])
    assert seen(server, BLIND) == [ASK, {"type": "text", "text": "[image not shown to you]"}]


def test_an_image_in_a_tool_step_does_not_lose_the_kept_answers(ask: Ask, server: ThreadedServer) -> None:
    tools = [{"type": "function", "function": {"name": "look"}}]
    server.set_scenario("gpt-4o", {"sequence": [{"tool_calls": [{"id": "c1", "name": "look"}]}, {"text": "Done."}]})
    messages = holding("image")
    answer = ask(messages=messages, tools=tools, proposers=[FIRST])
    messages.append(answer.choices[0].message.model_dump(exclude_none=True))
    messages.append({"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "seen"}]})
    ask(messages=messages, tools=tools, proposers=[FIRST])
    assert len(wire.records(server, "gpt-4o-mini")) == 1
    first, second = (record.body["messages"] for record in wire.records(server, "gpt-4o"))
    assert second[: len(first)] == first
