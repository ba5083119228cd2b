"""What final models said is kept by call, or by call and conversation, and given back to who said it."""

from __future__ import annotations

from typing import Any

import pytest

from composite_llm.backend.interface import Choice, Message, Reply
from composite_llm.backend.text_cache import MemoryTextCache
from composite_llm.backend.tool_turn import ToolTurn, tool_turn_of
from composite_llm.engine.reasoning_history import LOST, NO_SIGNATURE, Recipient
from composite_llm.engine.tool_turn_cache import ToolTurnCache, is_unique
from composite_llm.model.errors import Restriction
from composite_llm.model.messages import ModelTurn, checked_messages, running_turn

QUESTION = {"role": "user", "content": "Where?"}
FURTHER = {"role": "user", "content": "And then?"}
DONE = {"role": "assistant", "content": "There."}
BLOCK = {"type": "thinking", "thinking": "hm", "signature": "s1"}


def call(call_id: str = "call_0", name: str = "look") -> Message:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": "{}"}}


def turn(*calls: Message, content: str | None = None, **more: Any) -> Message:
    return {"role": "assistant", "content": content, "tool_calls": list(calls or [call()]), **more}


def result(call_id: str = "call_0") -> Message:
    return {"role": "tool", "tool_call_id": call_id, "content": "x"}


def reply(message: Message, origin: str | None = "me") -> Reply:
    return Reply((Choice(0, message, "tool_calls"),), origin=origin)


def own_parts(messages: list[Message]) -> list[Any]:
    return [message.own and message.own.fields for message in messages if isinstance(message, ModelTurn)]


async def kept_and_found(conversation: list[Message], said: Message, later: list[Message]) -> list[Any]:
    turns = ToolTurnCache(MemoryTextCache(), "ann")
    await turns.keep(checked_messages(conversation), reply(said))
    return own_parts(await turns.found(checked_messages(later)))


@pytest.mark.parametrize("call_id", ["call_0", "functions.look:0", "call_00_h7Ds93kLmQ2xYz81"])
async def test_it_is_found_in_the_next_step_and_in_later_turns(call_id: str) -> None:
    said = turn(call(call_id), reasoning_content="hm")
    later = [QUESTION, turn(call(call_id)), result(call_id)]
    for messages in (later, [*later, DONE, FURTHER]):
        assert await kept_and_found([QUESTION], said, messages) == [{"reasoning_content": "hm"}]


@pytest.mark.parametrize(
    ("call_id", "found"),
    [("call_0", None), ("functions.look:0", None), ("toolu_01H7Ds93kLmQ2xYz81", {"reasoning_content": "hm"})],
)
async def test_an_id_that_others_may_have_names_a_call_of_its_conversation_only(call_id: str, found: Any) -> None:
    said = turn(call(call_id), reasoning_content="hm")
    assert await kept_and_found([QUESTION], said, [FURTHER, turn(call(call_id)), result(call_id)]) == [found]


async def test_cache_marks_and_ways_to_write_nothing_make_no_difference() -> None:
    marked = {"role": "user", "content": [{"type": "text", "text": "Where?", "cache_control": {"type": "ephemeral"}}]}
    before = [marked, {**turn(call("c_7")), "content": ""}, result("c_7")]
    later = [QUESTION, turn(call("c_7")), result("c_7"), turn(), result()]
    assert await kept_and_found(before, turn(reasoning_content="hm"), later) == [None, {"reasoning_content": "hm"}]


async def test_nobody_else_finds_it() -> None:
    store = MemoryTextCache()
    await ToolTurnCache(store, "ann").keep([QUESTION], reply(turn(reasoning_content="hm")))
    later = checked_messages([QUESTION, turn(), result()])
    for owner in ("bob", None):
        assert own_parts(await ToolTurnCache(store, owner).found(later)) == [None]


async def test_nothing_is_kept_for_a_caller_of_whom_nothing_is_known() -> None:
    store = MemoryTextCache()
    await ToolTurnCache(store, None).keep([QUESTION], reply(turn(reasoning_content="hm")))
    assert len(store) == 0


async def test_nothing_is_kept_of_answers_of_unknown_origin_and_of_what_is_too_long() -> None:
    store = MemoryTextCache()
    turns = ToolTurnCache(store, "ann")
    await turns.keep([QUESTION], reply(turn(reasoning_content="hm"), origin=None))
    await turns.keep([QUESTION], reply(turn(reasoning_content="h" * 2_000_000)))
    await turns.keep([QUESTION], reply(DONE))
    assert len(store) == 0


async def test_what_another_version_wrote_is_a_miss() -> None:
    class Odd(MemoryTextCache):
        async def get(self, key: str) -> str | None:
            return '{"version": 9}'

    found = await ToolTurnCache(Odd(), "ann").found(checked_messages([QUESTION, turn(), result()]))
    assert own_parts(found) == [None]


async def test_calls_of_one_turn_that_a_client_took_apart_come_together() -> None:
    turns = ToolTurnCache(MemoryTextCache(), "ann")
    one, two = call("call_0"), call("call_1")
    await turns.keep([QUESTION], reply(turn(one, two, reasoning_content="hm")))
    apart = [QUESTION, turn(one), result("call_0"), turn(two), result("call_1"), turn(call("call_2")), result("call_2")]
    whole = await turns.found(checked_messages(apart))
    assert [message["role"] for message in whole] == ["user", "assistant", "tool", "tool", "assistant", "tool"]
    assert [made["id"] for made in whole[1]["tool_calls"]] == ["call_0", "call_1"]
    assert own_parts(whole) == [{"reasoning_content": "hm"}, None]


async def test_the_callers_messages_are_not_changed() -> None:
    turns = ToolTurnCache(MemoryTextCache(), "ann")
    one, two = call("call_0"), call("call_1")
    await turns.keep([QUESTION], reply(turn(one, two, reasoning_content="hm")))
    messages = checked_messages([QUESTION, turn(one), result("call_0"), turn(two), result("call_1")])
    before = [dict(message) for message in messages]
    await turns.found(messages)
    assert messages == before


@pytest.mark.parametrize(
    ("call_id", "name", "unique"),
    [
        ("call_9fH2kd83hsKd82jd", "look", True),
        ("toolu_01A09q90qw90lq917835lq9", "look", True),
        ("chatcmpl-tool-3f2a9c7be1d04a55", "look", True),
        ("call_0", "look", False),
        ("functions.look:0", "look", False),
        ("functions.look_2_far_away_places4u:0", "look_2_far_away_places4u", False),
        ("call_weather_forecast", "look", False),
        ("1234567890123456", "look", False),
    ],
)
def test_which_ids_name_one_call_in_the_world(call_id: str, name: str, unique: bool) -> None:
    assert is_unique(call(call_id, name)) is unique


# --- to whom it is given back ----------------------------------------------------------------------------------------


def recipient(provider: str | None, *restrictions: Restriction, **more: Any) -> Recipient:
    settings = {"origin": "me", "model": f"{provider}/m", "name": "chief", "params": {}, **more}
    return Recipient(provider=provider, restrictions=frozenset(restrictions), **settings)


def said_before(echo: Message | None = None, own: ToolTurn | None = None, **fields: Any) -> ModelTurn:
    known = tool_turn_of("me", turn(**fields)) if fields else own
    (plain,) = checked_messages([turn()])
    return ModelTurn(plain, echo or {}, known)


def given(to: Recipient, *messages: Message) -> list[Message]:
    return [message for message in to.shown(messages) if message.get("tool_calls")]


def test_a_node_that_is_not_the_final_one_is_given_nothing() -> None:
    shown = recipient("deepseek", origin=None).shown([QUESTION, said_before(reasoning_content="hm"), result()])
    assert shown == [QUESTION, turn(), result()]
    assert not any(isinstance(message, ModelTurn) for message in shown)


def test_nor_is_another_final_model() -> None:
    to = recipient("deepseek", origin="another")
    assert given(to, QUESTION, said_before(reasoning_content="hm"), result()) == [turn()]


@pytest.mark.parametrize(
    ("provider", "restrictions", "earlier"),
    [
        ("openai", (), None),
        ("anthropic", (), None),
        ("deepseek", (), "hm"),
        ("moonshot", (), "hm"),
        ("openai", ("reasoning_required",), "hm"),
    ],
)
def test_later_user_turns_bring_it_back_where_the_provider_wants_it(
    provider: str, restrictions: tuple[Restriction, ...], earlier: str | None
) -> None:
    to = recipient(provider, *restrictions)
    first, second = given(
        to,
        QUESTION,
        said_before(reasoning_content="hm"),
        result(),
        DONE,
        FURTHER,
        said_before(reasoning_content="hm"),
        result(),
    )
    assert first.get("reasoning_content") == earlier
    assert second["reasoning_content"] == "hm"
    assert to.lost == set()


def test_a_note_beside_the_results_starts_no_turn() -> None:
    step = [said_before(reasoning_content="hm"), result()]
    assert running_turn([QUESTION, DONE, FURTHER, *step, {"role": "user", "content": "reminder"}]) == 3
    assert running_turn([QUESTION, *step, DONE, FURTHER]) == 5
    assert running_turn([DONE]) == 0


def test_reasoning_that_is_gone_and_asked_for_is_stood_in_for() -> None:
    to = recipient("deepseek", "reasoning_required")
    assert given(to, QUESTION, said_before(), result())[0]["reasoning_content"] == LOST
    assert to.lost


def test_without_being_asked_for_nothing_stands_in() -> None:
    to = recipient("openai")
    assert given(to, QUESTION, said_before(), result()) == [turn()]
    assert to.lost == set()


@pytest.mark.parametrize("params", [{"thinking": {"type": "enabled"}}, {"reasoning_effort": "high"}], ids=str)
def test_who_needs_its_signed_thinking_is_asked_without_thinking_when_it_is_gone(params: dict[str, Any]) -> None:
    to = recipient("anthropic", params=params)
    given(to, QUESTION, said_before(), result())
    assert to.must_not_think
    assert to.lost


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([QUESTION, said_before(thinking_blocks=[BLOCK]), result()], id="it is there"),
        pytest.param([QUESTION, said_before(own=tool_turn_of("me", turn())), result()], id="it said none"),
        pytest.param([QUESTION, said_before(), result(), DONE, FURTHER], id="in an earlier turn"),
    ],
)
def test_but_only_where_it_is_gone_from_the_running_turn(messages: list[Message]) -> None:
    to = recipient("anthropic", params={"thinking": {"type": "enabled"}})
    given(to, *messages)
    assert (to.must_not_think, to.lost) == (False, set())


@pytest.mark.parametrize("params", [{}, {"thinking": {"type": "disabled"}}, {"reasoning_effort": "none"}], ids=str)
def test_and_not_where_thinking_is_off(params: dict[str, Any]) -> None:
    to = recipient("anthropic", params=params)
    given(to, QUESTION, said_before(), result())
    assert (to.must_not_think, to.lost) == (False, set())


ECHO = turn(
    reasoning_content="Proposals …",
    thinking_blocks=[BLOCK, {"type": "thinking", "thinking": "ours", "signature": ""}],
    provider_specific_fields={"thought_signatures": ["s"], "composite": {"degraded": []}},
    reasoning_details=[{"type": "reasoning.encrypted", "data": "x"}],
)


@pytest.mark.parametrize(
    ("provider", "model", "expected"),
    [
        ("anthropic", "anthropic/claude", {"thinking_blocks": [BLOCK]}),
        ("bedrock", "bedrock/claude", {"thinking_blocks": [BLOCK]}),
        ("vertex_ai", "vertex_ai/claude-opus", {"thinking_blocks": [BLOCK]}),
        ("gemini", "gemini/gemini-3-pro", {"provider_specific_fields": {"thought_signatures": ["s"]}}),
        ("openrouter", "openrouter/x", {"reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}]}),
        ("openai", "openai/gpt-4o", {}),
        ("deepseek", "deepseek/deepseek-chat", {}),
    ],
)
def test_of_what_a_caller_sends_back_only_what_is_certainly_the_models_own_is_taken(
    provider: str, model: str, expected: dict[str, Any]
) -> None:
    (shown,) = given(recipient(provider, model=model), QUESTION, said_before(ECHO), result())
    for name, value in expected.items():
        found = shown[name]
        assert {key: found[key] for key in value} == value if isinstance(value, dict) else found == value
    assert set(shown) - {"role", "content", "tool_calls"} <= {*expected, "provider_specific_fields"}
    assert "Proposals" not in str(shown)


def test_a_signed_block_that_a_stream_joined_with_the_summary_is_told_apart() -> None:
    joined = {**BLOCK, "thinking": "Proposals: asking a\n✓ a: 0.1 s\n\nThe final model's own reasoning\nhm"}
    (shown,) = given(recipient("anthropic"), QUESTION, said_before(turn(thinking_blocks=[joined])), result())
    assert shown["thinking_blocks"] == [BLOCK]


def test_thought_signatures_that_are_gone_are_marked_so_on_every_call_of_the_running_turn() -> None:
    to = recipient("openai", "signatures_required", model="openai/gemini-3-pro")
    earlier, running = given(to, QUESTION, said_before(), result(), DONE, FURTHER, said_before(), result())
    assert "extra_content" not in earlier["tool_calls"][0]
    assert running["tool_calls"][0]["extra_content"] == {"google": {"thought_signature": NO_SIGNATURE}}


@pytest.mark.parametrize("restriction", ["no_reasoning", "other_signatures"])
def test_a_provider_that_refuses_it_gets_none(restriction: Restriction) -> None:
    to = recipient("openai", restriction)
    assert given(to, QUESTION, said_before(reasoning_content="hm"), result()) == [turn()]


def test_in_the_end_the_whole_history_is_text() -> None:
    shown = recipient("openai", "no_tool_history").shown([QUESTION, said_before(reasoning_content="hm"), result()])
    assert [message["role"] for message in shown] == ["user", "assistant", "user"]
    assert "hm" not in str(shown)


def test_a_copy_of_a_turn_is_a_plain_message() -> None:
    before = said_before(reasoning_content="hm")
    assert {**before} == before == turn()
    assert not isinstance({**before}, ModelTurn)
