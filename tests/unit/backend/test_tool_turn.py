from __future__ import annotations

from typing import Any

import pytest

from composite_llm.backend.tool_turn import ToolTurn, origin_of, plain_id, tool_turn_of, with_own_reasoning

ORIGIN = origin_of("a/model", "host:1")
BLOCK = {"type": "thinking", "thinking": "hm", "signature": "s1"}
CALL: dict[str, Any] = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
PLAIN: dict[str, Any] = {"role": "assistant", "content": "Let me look.", "tool_calls": [CALL]}
GOOGLE = {"google": {"thought_signature": "U0lH"}}


def said(**more: Any) -> ToolTurn:
    return tool_turn_of(ORIGIN, {**PLAIN, **more})


def test_content_and_calls_are_no_part_of_it() -> None:
    own = said(
        refusal=None, annotations=[], provider_specific_fields={"refusal": None, "composite": {"degraded": ["x"]}}
    )
    assert not own
    assert own.ids == ("c1",)
    assert with_own_reasoning(own, PLAIN, "openai") == PLAIN


@pytest.mark.parametrize(
    ("more", "provider", "expected"),
    [
        pytest.param({"reasoning_content": "hm"}, "deepseek", {"reasoning_content": "hm"}, id="reasoning"),
        pytest.param({"reasoning_content": "hm"}, "groq", {"reasoning": "hm"}, id="refuses the other name"),
        pytest.param(
            {"reasoning_content": "hm"},
            "openrouter",
            {"reasoning": "hm", "reasoning_content": "hm"},
            id="by its provider's name",
        ),
        pytest.param(
            {"reasoning_content": "hm", "provider_specific_fields": {"reasoning": "hm"}},
            "hosted_vllm",
            {"reasoning": "hm", "reasoning_content": "hm"},
            id="by the name it came under",
        ),
        pytest.param(
            {
                "reasoning_content": "hm",
                "thinking_blocks": [BLOCK],
                "provider_specific_fields": {"thinking_blocks": [BLOCK]},
            },
            "anthropic",
            {"thinking_blocks": [BLOCK]},
            id="signed blocks say it all",
        ),
        pytest.param(
            {"reasoning_content": "hm", "thinking_blocks": [BLOCK]},
            "litellm_proxy",
            {"reasoning_content": "hm", "thinking_blocks": [BLOCK]},
            id="a gateway gets both",
        ),
        pytest.param(
            {"provider_specific_fields": {"thought_signatures": ["s"], "citations": None}},
            "gemini",
            {"provider_specific_fields": {"thought_signatures": ["s"]}},
            id="a provider's own fields",
        ),
        pytest.param({"provider_specific_fields": {"anything": "x"}}, "openai", {}, id="which others would send on"),
        pytest.param(
            {"provider_specific_fields": {"reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}]}},
            "openrouter",
            {"reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}]},
            id="OpenRouter's details",
        ),
        pytest.param(
            {"reasoning_items": [{"type": "reasoning", "encrypted_content": "x"}]},
            "openai",
            {"reasoning_items": [{"type": "reasoning", "encrypted_content": "x"}]},
            id="items of the Responses API",
        ),
    ],
)
def test_each_provider_gets_it_where_it_reads_it(more: dict[str, Any], provider: str, expected: dict[str, Any]) -> None:
    assert with_own_reasoning(said(**more), PLAIN, provider) == {**PLAIN, **expected}


def test_what_stands_on_a_call_goes_back_to_that_call() -> None:
    function = {**CALL["function"], "provider_specific_fields": {"thought_signature": "f"}}
    calls = [
        {**CALL, "index": 0, "extra_content": GOOGLE, "function": function},
        {**CALL, "id": "c2", "function": {"name": "look", "arguments": '{"a": 1}'}},
    ]
    own = said(tool_calls=calls)
    shown = [{**CALL, "id": call_id, "function": {"name": "look", "arguments": "{ }"}} for call_id in ("c2", "c1")]
    other, signed = with_own_reasoning(own, {**PLAIN, "tool_calls": shown}, "openai")["tool_calls"]
    assert other == shown[0]
    assert signed == {
        **shown[1],
        "extra_content": GOOGLE,
        "function": {**shown[1]["function"], "provider_specific_fields": {"thought_signature": "f"}},
    }


@pytest.mark.parametrize(
    ("call_id", "plain"),
    [
        ("call_abc", "call_abc"),
        ("functions.look:0", "functions_look_0"),
        ("call_1__thought__c2lnbmF0dXJl", "call_1"),
        (None, ""),
    ],
)
def test_an_id_is_the_same_however_an_endpoint_writes_it(call_id: str | None, plain: str) -> None:
    assert plain_id({"id": call_id}) == plain


def test_it_can_be_stored_and_nothing_else_is_taken_for_it() -> None:
    own = said(reasoning_content="hm", thinking_blocks=[BLOCK], tool_calls=[{**CALL, "extra_content": GOOGLE}])
    assert ToolTurn.from_json(own.to_json()) == own
    for text in ("", "[]", '{"origin": 1}', '{"origin": "x", "calls": []}'):
        with pytest.raises(ValueError, match=r"ToolTurn|JSON"):
            ToolTurn.from_json(text)


@pytest.mark.parametrize(
    "odd", [{"thinking_blocks": "x"}, {"tool_calls": [5]}, {"provider_specific_fields": []}], ids=str
)
def test_odd_messages_of_callers_are_read_without_an_error(odd: dict[str, Any]) -> None:
    assert not said(**odd)
