"""Images, sounds and files: who gets them, and what the others get."""

from __future__ import annotations

import copy
from typing import Any

import litellm
import pytest

import composite_llm
from fake_server import ThreadedServer
from tests.support import wire
from tests.support.asking import COUNCIL, FIRST, SECOND, Ask, at
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


# --- pictures that are not what is asked about ----------------------------------------------------------------------

SHOT = {"id": "c1", "type": "function", "function": {"name": "shot", "arguments": "{}"}}
TOOLS = [{"type": "function", "function": {"name": "shot", "parameters": {"type": "object", "properties": {}}}}]
SCREEN: list[dict[str, Any]] = [
    {"role": "user", "content": "Look at the screen."},
    {"role": "assistant", "content": None, "tool_calls": [SHOT]},
    {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "here it is"}, PARTS["image"]]},
]
LATER = [*SCREEN, {"role": "assistant", "content": "I see a cat."}, {"role": "user", "content": "Which breed?"}]
OLD = [*holding("image"), {"role": "assistant", "content": "A bridge."}, {"role": "user", "content": "Where?"}]
FROM_A_USER = [
    *SCREEN[:2],
    {"role": "tool", "tool_call_id": "c1", "content": "see the next message"},
    {"role": "user", "content": [PARTS["image"]]},
]
CONVERSATIONS = {
    "a tool's": SCREEN,
    "a tool's, some turns ago": LATER,
    "old": OLD,
    "a tool's, from a user": FROM_A_USER,
}
BASE64 = "aGVsbG8="


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("strategy", ["moa", "council"])
@pytest.mark.parametrize("conversation", CONVERSATIONS)
def test_text_only_members_beside_a_final_model_that_sees(
    conversation: str, strategy: str, stream: bool, ask: Ask, server: ThreadedServer
) -> None:
    for blind in (BLIND, BLIND_TOO):
        server.set_scenario(blind.removeprefix("openai/"), {"rules": ["no_images"]})
    server.set_scenario("gpt-4o", {"text": "I see a cat."})
    messages = CONVERSATIONS[conversation]
    before = copy.deepcopy(messages)
    members = {"proposers" if strategy == "moa" else "members": [BLIND, BLIND_TOO]}
    options = {"messages": messages, "fanout": "every_call", "tools": TOOLS, **members}
    answer = ask(f"composite/{strategy}/openai/gpt-4o", stream=stream, **options)
    if stream:
        assert list(answer)
    assert messages == before
    assert composite_llm.get_trace(answer).degraded == []
    assert BASE64 in str(wire.body(server, "gpt-4o"))
    for record in server.ledger.records:
        if record.model != "gpt-4o":
            assert BASE64 not in str(record.body)
            assert "[image not shown to you]" in str(record.body)


@pytest.mark.parametrize("conversation", ["a tool's, some turns ago", "a tool's"])
def test_a_tools_picture_reaches_the_members_that_see(conversation: str, ask: Ask, server: ThreadedServer) -> None:
    ask(messages=CONVERSATIONS[conversation], tools=TOOLS, fanout="every_call", proposers=[FIRST, BLIND])
    seeing = wire.body(server, "gpt-4o-mini")["messages"]
    (result,) = [message for message in seeing if "[result of c1]" in str(message)]
    assert result == {
        "role": "user",
        "content": [{"type": "text", "text": "[result of c1]\nhere it is"}, PARTS["image"]],
    }
    assert BASE64 not in str(wire.body(server, "gpt-3.5-turbo"))
    assert "[image not shown to you]" in str(wire.body(server, "gpt-3.5-turbo"))


def test_composites_within_look_at_their_members_from_outside(ask: Ask, server: ThreadedServer) -> None:
    inner = at(server, "composite/moa/openai/gpt-4o", proposers=[at(server, BLIND)])
    with pytest.raises(litellm.BadRequestError, match="holds content of type image, which none of"):
        ask(messages=holding("image"), proposers=[inner])
    assert server.ledger.records == []
    answer = ask(messages=holding("image"), proposers=[inner, FIRST])
    assert composite_llm.get_trace(answer).degraded == []


@pytest.mark.parametrize(
    "message",
    [
        "Invalid content type. image_url is only supported by certain models.",
        "own-model is not a multimodal model",
        "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj",
        "unknown variant `image_url`, expected `text`",
        "No endpoints found that support image input",
    ],
)
@pytest.mark.parametrize("status", [400, 500])
def test_a_member_that_turns_out_to_be_blind_is_asked_with_a_note_and_remembered(
    status: int, message: str, ask: Ask, server: ThreadedServer
) -> None:
    refusal = {"error": {"status": status, "message": message}}
    server.set_scenario("own-model", {"sequence": [refusal, {"text": "fine"}]})
    for _ in range(2):
        answer = ask(messages=holding("image"), proposers=["openai/own-model", FIRST])
        assert composite_llm.get_trace(answer).degraded == []
    sent = [BASE64 in str(record.body) for record in wire.records(server, "own-model")]
    assert sent == [True, False, False]


def test_a_final_model_that_turns_out_to_be_blind_is_not_asked_about_a_picture_that_it_cannot_see(
    ask: Ask, server: ThreadedServer
) -> None:
    server.set_scenario("own-model", {"rules": ["no_images"]})
    with pytest.raises(composite_llm.FinalCallFailed):
        ask("composite/moa/openai/own-model", messages=holding("image"), proposers=[FIRST])
    answer = ask("composite/moa/openai/own-model", messages=SCREEN, tools=TOOLS, proposers=[FIRST])
    assert composite_llm.get_trace(answer).degraded == []


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("guarded", [False, True], ids=["bare", "guarded"])
@pytest.mark.parametrize("final", ["openai/gpt-4o", BLIND, "openai/own-model"])
def test_a_tool_that_we_run_may_return_a_picture(
    final: str, guarded: bool, stream: bool, ask: Ask, server: ThreadedServer
) -> None:
    name = final.removeprefix("openai/")
    rules = {"rules": ["no_images"]} if final != "openai/gpt-4o" else {}
    server.set_scenario(name, {**rules, "says": [{"tool_calls": [{"name": "shot"}]}, {"text": "I see a cat."}]})
    tools: Any = {"shot": lambda: [{"type": "text", "text": "here it is"}, PARTS["image"]]}
    executor = composite_llm.ToolGuard(tools, allow=["shot"]) if guarded else tools
    answer = ask(f"composite/moa/{final}", tools=TOOLS, tool_executor=executor, proposers=[FIRST], stream=stream)
    if stream:
        answer = litellm.stream_chunk_builder(list(answer))
    assert "I see a cat." in answer.choices[0].message.content
    last = str(wire.records(server, name)[-1].body)
    assert "here it is" in last
    assert (BASE64 in last) == (final == "openai/gpt-4o")
    assert ("[image not shown to you]" in last) == (final != "openai/gpt-4o")


def test_the_trace_has_a_note_in_the_place_of_the_picture(ask: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o", {"sequence": [{"tool_calls": [{"name": "shot"}]}, {"text": "done"}]})
    answer = ask(tools=TOOLS, tool_executor={"shot": lambda: [PARTS["image"]]}, proposers=[FIRST])
    (record,) = composite_llm.get_trace(answer).tool_calls
    assert record.result == "[image]"


def test_a_picture_over_the_guards_cap_becomes_a_note(ask: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o", {"sequence": [{"tool_calls": [{"name": "shot"}]}, {"text": "done"}]})
    tools: Any = {"shot": lambda: [{"type": "text", "text": "here it is"}, PARTS["image"]]}
    ask(
        tools=TOOLS,
        tool_executor=composite_llm.ToolGuard(tools, allow=["shot"], max_output_bytes=60),
        proposers=[FIRST],
    )
    last = str(wire.records(server, "gpt-4o")[-1].body)
    assert BASE64 not in last
    assert "here it is" in last
    assert "bytes left out]" in last


SIX_MB = "A" * 8_000_000


@pytest.mark.parametrize(
    "part",
    [
        {"type": "input_audio", "input_audio": {"data": SIX_MB, "format": "mp3"}},
        {"type": "video_url", "video_url": {"url": f"data:video/mp4;base64,{SIX_MB}"}},
    ],
    ids=["a song", "a film"],
)
def test_a_song_or_a_film_of_some_megabytes_fits(part: dict[str, Any], provider: None) -> None:
    from composite_llm.backend.litellm_facts import LiteLLMFacts

    facts = LiteLLMFacts()
    messages = [{"role": "user", "content": [ASK, part]}]
    for model in ("gemini/gemini-2.5-pro", "openai/gpt-4o-audio-preview", "openai/own-model"):
        assert 5_000 < facts.count_tokens(model, messages) < 30_000
