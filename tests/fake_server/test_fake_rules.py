"""What a strict model refuses, and what it goes on to answer."""

import json
from collections.abc import Mapping
from typing import Any, get_args

import pytest

import fake_server
from fake_server.rules import RULES, RuleName

SYSTEM = {"role": "system", "content": "Be brief."}
DEVELOPER = {"role": "developer", "content": "Be brief."}
USER = {"role": "user", "content": "What is it?"}
ANSWER = {"role": "assistant", "content": "Tea."}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
AUDIO = {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}
FILE = {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA=="}}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
CALLS = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "4"}


def _thought(text: object) -> dict[str, Any]:
    return {**CALLS, "reasoning_content": text}


def _parts(role: str, *parts: object) -> dict[str, Any]:
    return {"role": role, "tool_call_id": "c1", "content": [{"type": "text", "text": "look"}, *parts]}


# rule: (requests refused, requests answered, a piece of the provider's sentence); a request is its messages, or a body.
CASES: Mapping[RuleName, tuple[list[Any], list[Any], str]] = {
    "deepseek_reasoning": (
        [[USER, CALLS, RESULT], [USER, _thought(" \n"), RESULT], [USER, CALLS, RESULT, ANSWER, USER]],
        [[USER, _thought("First the weather."), RESULT], [USER, ANSWER, USER]],
        "Missing `reasoning_content` field in the assistant message at message index 1.",
    ),
    "kimi_reasoning": (
        [[USER, CALLS, RESULT], {"messages": [USER, CALLS, RESULT], "thinking": {"type": "enabled"}}],
        [[USER, _thought("Hm."), RESULT], {"messages": [USER, CALLS, RESULT], "thinking": {"type": "disabled"}}],
        "reasoning_content is missing in assistant tool call message at index 1",
    ),
    "anthropic_signatures": (
        [
            {"messages": [USER, CALLS, RESULT], "thinking": {"type": "enabled"}},
            {"messages": [USER, CALLS, RESULT], "reasoning_effort": "low"},
            {"messages": [USER, {**CALLS, "content": "Let me see."}, RESULT], "thinking": {"type": "adaptive"}},
        ],
        [
            [USER, CALLS, RESULT],
            {"messages": [USER, CALLS, RESULT, ANSWER, USER], "thinking": {"type": "enabled"}},
            {"messages": [USER], "thinking": {"type": "enabled"}},
        ],
        "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `",
    ),
    "gemini_signatures": (
        [[USER, CALLS, RESULT], [USER, ANSWER, USER, CALLS, RESULT]],
        [[USER, CALLS, RESULT, ANSWER, USER], [USER, ANSWER, USER]],
        "missing a thought_signature in functionCall parts",
    ),
    "system_first": (
        [[SYSTEM, SYSTEM, USER], [USER, SYSTEM], [SYSTEM, USER, ANSWER, DEVELOPER, USER]],
        [[SYSTEM, USER], [DEVELOPER, USER], [USER]],
        "System message must be at the beginning.",
    ),
    "one_system_message": (
        [[SYSTEM, SYSTEM, USER], [SYSTEM, USER, DEVELOPER]],
        [[SYSTEM, USER], [USER, SYSTEM], [USER]],
        "invalid chat setting",
    ),
    "no_system": ([[SYSTEM, USER], [DEVELOPER, USER]], [[USER]], "System role not supported"),
    "no_developer": ([[DEVELOPER, USER]], [[SYSTEM, USER]], "Unexpected message role."),
    "alternate": (
        [[USER, USER], [SYSTEM, ANSWER, USER], [SYSTEM, SYSTEM, USER], [USER, CALLS, RESULT]],
        [[USER], [SYSTEM, USER, ANSWER, USER]],
        "Conversation roles must alternate user/assistant/user/assistant/...",
    ),
    "alternate_except_tools": (
        [[USER, USER], [USER, CALLS, RESULT, USER]],
        [[SYSTEM, USER, CALLS, RESULT], [USER, CALLS, RESULT, ANSWER, USER]],
        "except for tool calls and results",
    ),
    "last_user": ([[USER, ANSWER]], [[USER], [USER, CALLS, RESULT]], "Expected last role User or Tool"),
    "no_images": (
        [[_parts("user", IMAGE)], [_parts("user", IMAGE), ANSWER, USER], [USER, CALLS, _parts("tool", IMAGE)]],
        [[USER], [_parts("user")]],
        "image_url is only supported by certain models.",
    ),
    "no_tool_images": (
        [[USER, CALLS, _parts("tool", IMAGE)]],
        [[_parts("user", IMAGE)], [USER, CALLS, RESULT]],
        "Image URLs are only allowed for messages with role 'user', but this message with role 'tool'",
    ),
    "no_audio": ([[_parts("user", AUDIO)]], [[_parts("user", IMAGE)]], "input_audio is only supported"),
    "no_files": ([[_parts("user", FILE)]], [[_parts("user", IMAGE)]], "file is only supported"),
    "string_content": ([[_parts("user")]], [[USER]], "messages[0]: invalid type: sequence, expected a string"),
    "clean_text": (
        [[{"role": "user", "content": "half \ud83d"}], [USER, CALLS, {**RESULT, "content": "nul \0"}]],
        [[{"role": "user", "content": "\U0001f600 and the letters \\u0000 and \\ud83d"}]],
        "The request body is not valid JSON",
    ),
    "tool_pairs": (
        [[USER, CALLS, USER], [USER, CALLS], [USER, RESULT], [USER, CALLS, RESULT, RESULT]],
        [[USER, CALLS, RESULT], [USER, CALLS, RESULT, ANSWER, USER]],
        "'tool",
    ),
    "no_tools": (
        [{"messages": [USER], "tools": [TOOL]}],
        [[USER], {"messages": [USER], "tools": []}],
        "--enable-auto-tool-choice",
    ),
    "no_response_format": (
        [{"messages": [USER], "response_format": {"type": kind}} for kind in ("json_object", "json_schema")],
        [[USER], {"messages": [USER], "response_format": {"type": "text"}}],
        "This response_format type is unavailable now",
    ),
    "no_json_schema": (
        [{"messages": [USER], "response_format": {"type": "json_schema"}}],
        [{"messages": [USER], "response_format": {"type": "json_object"}}],
        "This response_format type is unavailable now",
    ),
    "one_choice": ([{"messages": [USER], "n": 2}], [{"messages": [USER], "n": 1}], "between 1 <= value <= 1"),
    "known_parameters": (
        [{"messages": [USER], "max_retries": 0}],
        [{"messages": [USER], "temperature": 0, "top_logprobs": 2}],
        "Unrecognized request argument supplied: max_retries",
    ),
}


def _body(request: Any) -> dict[str, Any]:
    return dict(request) if isinstance(request, Mapping) else {"messages": request}


def _sentence(body: Any) -> str:
    error = body[0] if isinstance(body, list) else body
    return str(error["error"]["message"] if "error" in error else error["message"])


def test_every_rule_has_its_cases_and_its_line_in_the_documentation() -> None:
    assert set(CASES) == set(RULES) == set(get_args(RuleName))
    documented = fake_server.__doc__ or ""
    assert all(f"``{name}``" in documented for name in RULES)


@pytest.mark.parametrize("rule", CASES)
@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "stream"])
async def test_a_rule_refuses_what_breaks_it_and_nothing_else(
    server: fake_server.RunningServer, chat: Any, rule: RuleName, streamed: bool
) -> None:
    server.set_scenario("m", {"rules": [rule], "text": "fine"})
    refused, answered, sentence = CASES[rule]
    for request in refused:
        status, body, _ = await chat(**_body(request), stream=streamed)
        assert (status, sentence in _sentence(body)) == (400, True), body
    for request in answered:
        status, body, _ = await chat(**_body(request), stream=streamed)
        assert status == 200, body


async def test_without_rules_nothing_is_refused(chat: Any) -> None:
    for refused, _answered, _sentence in CASES.values():
        for request in refused:
            assert (await chat(**_body(request)))[0] == 200


async def test_several_rules_hold_together(server: fake_server.RunningServer, chat: Any) -> None:
    server.set_scenario("m", {"rules": ["no_images", "system_first"]})
    assert (await chat(messages=[USER, SYSTEM]))[0] == 400
    assert (await chat(messages=[_parts("user", IMAGE)]))[0] == 400
    assert (await chat(messages=[SYSTEM, USER]))[0] == 200


async def test_signed_thinking_is_taken_back_only_as_it_was_given(server: fake_server.RunningServer, chat: Any) -> None:
    server.set_scenario(
        "m",
        {
            "rules": ["anthropic_signatures"],
            "says": [
                {"reasoning": "Let me see.", "thinking_signature": "sig-1", "tool_calls": [{"name": "weather"}]},
                {"reasoning": "Enough.", "redacted_thinking": "secret", "text": "Four degrees."},
            ],
        },
    )
    said = (await chat(thinking={"type": "enabled"}))[1]["choices"][0]["message"]
    block = {"type": "thinking", "thinking": "Let me see.", "signature": "sig-1"}
    assert said["thinking_blocks"] == [block]

    for wrong in ({"signature": "sig-2"}, {"thinking": "Let me see"}, {"signature": None}):
        back = [USER, {**said, "thinking_blocks": [{**block, **wrong}]}, RESULT]
        status, body, _ = await chat(messages=back, thinking={"type": "enabled"})
        assert (status, _sentence(body)) == (400, "messages.1.content.0: Invalid `signature` in `thinking` block")
    status, body, _ = await chat(messages=[USER, said, RESULT], thinking={"type": "enabled"})
    assert (status, body["choices"][0]["message"]["content"]) == (200, "Four degrees.")

    redacted = body["choices"][0]["message"]["thinking_blocks"][1]
    assert redacted == {"type": "redacted_thinking", "data": "secret"}
    for data, expected in (("secret", 200), ("invented", 400)):
        back = [USER, {**CALLS, "thinking_blocks": [{**redacted, "data": data}]}, RESULT]
        assert (await chat(messages=back, thinking={"type": "enabled"}))[0] == expected


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "stream"])
async def test_the_first_of_several_calls_is_signed_and_its_signature_wanted_back(
    server: fake_server.RunningServer, chat: Any, stream: Any, streamed: bool
) -> None:
    two = [{"name": "weather", "id": "c1"}, {"name": "weather", "id": "c2"}]
    server.set_scenario("m", {"rules": ["gemini_signatures"], "says": [{"tool_calls": two}, {"text": "done"}]})
    if streamed:
        deltas = [event["choices"][0]["delta"] for event in (await stream())[:-1]]
        calls = [call for delta in deltas for call in delta.get("tool_calls", ()) if "id" in call]
    else:
        calls = (await chat())[1]["choices"][0]["message"]["tool_calls"]
    assert ["extra_content" in call for call in calls] == [True, False]

    def back(first: Any) -> list[Any]:
        results = [{**RESULT, "tool_call_id": call["id"]} for call in calls]
        return [USER, {"role": "assistant", "tool_calls": [first, calls[1]]}, *results]

    foreign = {**calls[0], "extra_content": {"google": {"thought_signature": "invented"}}}
    assert (await chat(messages=back(foreign)))[0] == 400
    status, body, _ = await chat(messages=back(calls[0]))
    assert (status, body["choices"][0]["message"]["content"]) == (200, "done")


async def test_refused_requests_use_up_nothing_of_what_a_model_says(
    server: fake_server.RunningServer, chat: Any
) -> None:
    server.set_scenario("m", {"rules": ["no_system"], "says": [{"text": "one"}, {"text": "two"}], "reasoning": "hm"})
    said = []
    for messages in ([USER], [SYSTEM, USER], [USER], [SYSTEM, USER], [USER]):
        status, body, _ = await chat(messages=messages)
        said.append(body["choices"][0]["message"] if status == 200 else None)
    assert [message and message["content"] for message in said] == ["one", None, "two", None, "two"]
    assert all(message["reasoning_content"] == "hm" for message in said if message)


@pytest.mark.parametrize(
    ("wording", "limit", "sentence"),
    [
        ("openai", {}, "maximum context length is 20 tokens. However, your messages resulted in 25 tokens."),
        ("openai", {"max_tokens": 5}, "you requested 30 tokens (25 in the messages, 5 in the completion)"),
        ("vllm", {}, "However, you requested 25 tokens (25 in the messages, 0 in the completion)"),
        ("llama_cpp", {}, "request (25 tokens) exceeds the available context size (20 tokens)"),
        ("anthropic", {}, "prompt is too long: 25 tokens > 20 maximum"),
        ("gemini", {}, "The input token count (25) exceeds the maximum number of tokens allowed (20)."),
    ],
)
async def test_a_window_is_enforced_in_the_words_of_a_provider(
    server: fake_server.RunningServer, chat: Any, wording: str, limit: dict[str, int], sentence: str
) -> None:
    server.set_scenario("m", {"context_window": {"tokens": 20, "factor": 1.25, "wording": wording}})
    status, body, _ = await chat("x" * 80, **limit)
    assert (status, sentence in _sentence(body)) == (400, True), body
    assert (await chat("x" * 64))[0] == 200


async def test_llama_cpp_tells_its_window_in_the_error_and_in_the_list_of_models(
    server: fake_server.RunningServer, chat: Any, http: Any
) -> None:
    server.set_scenario("l", {"context_window": {"tokens": 20, "wording": "llama_cpp"}})
    server.set_scenario("v", {"context_window": {"tokens": 30, "wording": "vllm"}})
    error = (await chat("x" * 100, model="l"))[1]["error"]
    assert (error["type"], error["n_prompt_tokens"], error["n_ctx"]) == ("exceed_context_size_error", 25, 20)
    async with http.get(f"{server.base_url}/models") as response:
        models = {model["id"]: model for model in (await response.json())["data"]}
    assert (models["l"]["meta"]["n_ctx"], models["v"]["max_model_len"]) == (20, 30)


async def test_an_answer_longer_than_what_is_left_does_not_fit(server: fake_server.RunningServer, chat: Any) -> None:
    server.set_scenario("m", {"context_window": {"tokens": 20}})
    assert (await chat("x" * 60, max_tokens=5))[0] == 200
    assert (await chat("x" * 60, max_tokens=6))[0] == 400


async def test_half_a_surrogate_pair_leaves_as_its_json_escape(
    server: fake_server.RunningServer, http: Any, stream: Any
) -> None:
    server.set_scenario("m", {"text": "Yes \ud83d"})
    async with http.post(f"{server.base_url}/chat/completions", json={"model": "m", "messages": [USER]}) as response:
        assert b'"Yes \\ud83d"' in await response.read()
    pieces = [event["choices"][0]["delta"].get("content") or "" for event in (await stream())[:-1]]
    assert "".join(pieces) == "Yes \ud83d"


async def test_raw_bodies_and_events_are_sent_as_they_stand(
    server: fake_server.RunningServer, http: Any, chat: Any
) -> None:
    server.set_scenario("m", {"raw_body": '{"odd":"\\ud83d"}', "raw_events": ['{"a":"\\ud83d"}', "no JSON"]})
    body = {"model": "m", "messages": [USER]}
    url = f"{server.base_url}/chat/completions"
    async with http.post(url, json=body) as response:
        assert await response.read() == b'{"odd":"\\ud83d"}'
    async with http.post(url, json={**body, "stream": True}) as response:
        assert await response.read() == b'data: {"a":"\\ud83d"}\n\ndata: no JSON\n\ndata: [DONE]\n\n'
    server.set_scenario("m", {"error": {"status": 502, "body": "<html>bad gateway</html>"}})
    assert (await chat())[:2] == (502, "<html>bad gateway</html>")


async def test_streams_are_cut_into_pieces_of_any_sizes(server: fake_server.RunningServer, stream: Any) -> None:
    server.set_scenario("m", {"text": "<think>hm</think>42", "chunk_chars": [3, 7, 1]})
    pieces = [event["choices"][0]["delta"].get("content") for event in (await stream())[:-1]]
    assert [piece for piece in pieces if piece] == ["<th", "ink>hm<", "/", "thi", "nk>42"]


async def test_reasoning_under_its_other_name_and_usage_that_is_null(
    server: fake_server.RunningServer, chat: Any, stream: Any
) -> None:
    server.set_scenario("m", {"reasoning": "hm", "reasoning_field": "reasoning", "text": "42", "null_usage": True})
    _, body, _ = await chat()
    message = body["choices"][0]["message"]
    assert (message["reasoning"], "reasoning_content" in message, body["usage"]) == ("hm", False, None)
    events = await stream(stream_options={"include_usage": True})
    assert [event["choices"][0]["delta"]["reasoning"] for event in events[1:2]] == ["hm"]
    assert all(event["usage"] is None for event in events[:-1])


@pytest.mark.parametrize(
    ("scenario", "named"),
    [
        ({"rules": ["no_such"]}, "rules.0"),
        ({"says": []}, "says"),
        ({"says": [{"rules": ["no_system"]}]}, "says.0: rules belongs beside says"),
        ({"says": [{}], "sequence": [{}]}, "says"),
        ({"context_window": {"tokens": 0}}, "context_window.tokens"),
        ({"chunk_chars": []}, "chunk_chars"),
    ],
)
def test_a_wrong_strictness_is_named(scenario: Any, named: str) -> None:
    with pytest.raises(fake_server.ScenarioError) as caught:
        fake_server.parse_scenario(scenario)
    assert named in str(caught.value)


def test_a_scenario_is_told_as_it_was_given() -> None:
    given = {"rules": ["no_system"], "says": [{"text": "a"}, {"text": "b"}], "context_window": {"tokens": 9}}
    assert json.loads(json.dumps(fake_server.parse_scenario(given).model_dump(exclude_unset=True))) == given
