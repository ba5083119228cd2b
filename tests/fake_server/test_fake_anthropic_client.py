"""Anthropic's official client speaks with the server, plain and streamed."""

from collections.abc import AsyncIterator
from typing import Any

import anthropic
import pytest
import pytest_asyncio

import fake_server

TOOL: Any = {"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}
ASKED: Any = [{"role": "user", "content": "What is the weather in Oslo?"}]
THINKING: Any = {"type": "enabled", "budget_tokens": 1024}
TURN = {
    "rules": ["anthropic_signatures"],
    "says": [
        {"reasoning": "Let me see.", "tool_calls": [{"name": "weather", "arguments": {"city": "Oslo"}, "id": "c1"}]},
        {"reasoning": "Enough.", "text": "Four degrees."},
    ],
}


@pytest_asyncio.fixture
async def claude(server: fake_server.RunningServer) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(base_url=server.url, api_key="none", max_retries=0) as client:
        yield client


async def _message(claude: anthropic.AsyncAnthropic, streamed: bool, **options: Any) -> Any:
    asked: Any = {"model": "m", "max_tokens": 4000, "messages": ASKED, **options}
    if not streamed:
        return await claude.messages.create(**asked)
    async with claude.messages.stream(**asked) as stream:
        return await stream.get_final_message()


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "stream"])
async def test_text_usage_and_the_reason_of_its_end(
    server: fake_server.RunningServer, claude: anthropic.AsyncAnthropic, streamed: bool
) -> None:
    counts = {"prompt_tokens": 100, "completion_tokens": 20, "cached_tokens": 60, "cache_creation_tokens": 30}
    server.set_scenario("m", {"text": "Four degrees, as so often.", "usage": counts})
    message = await _message(claude, streamed)
    assert [block.text for block in message.content] == ["Four degrees, as so often."]
    usage = message.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (10, 60, 30)
    assert (usage.output_tokens, message.stop_reason) == (20, "end_turn")
    server.set_scenario("m", {"text": "x" * 100})
    assert (await _message(claude, streamed, max_tokens=5)).stop_reason == "max_tokens"
    server.set_scenario("m", {"refusal": "I will not."})
    assert (await _message(claude, streamed)).content[0].text == "I will not."


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "stream"])
async def test_a_turn_with_thinking_and_a_tool(
    server: fake_server.RunningServer, claude: anthropic.AsyncAnthropic, streamed: bool
) -> None:
    server.set_scenario("m", TURN)
    first = await _message(claude, streamed, tools=[TOOL], thinking=THINKING)
    assert [block.type for block in first.content] == ["thinking", "tool_use"]
    assert (first.content[1].input, first.stop_reason) == ({"city": "Oslo"}, "tool_use")
    result: Any = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "4"}]}

    def turn(content: Any) -> Any:
        return [*ASKED, {"role": "assistant", "content": content}, result]

    for wrong in (first.content[1:], [first.content[0].model_copy(update={"thinking": "other"}), first.content[1]]):
        with pytest.raises(anthropic.BadRequestError, match=r"messages\.1\.content\.0"):
            await _message(claude, streamed, messages=turn(wrong), tools=[TOOL], thinking=THINKING)
    second = await _message(claude, streamed, messages=turn(first.content), tools=[TOOL], thinking=THINKING)
    assert second.content[-1].text == "Four degrees."


async def test_redacted_thinking_and_calls_whose_arguments_are_no_object(
    server: fake_server.RunningServer, claude: anthropic.AsyncAnthropic
) -> None:
    server.set_scenario("m", {"redacted_thinking": "secret", "tool_calls": [{"name": "weather", "arguments": "{bad"}]})
    for streamed in (False, True):
        if not streamed:
            content = (await _message(claude, streamed)).content
            assert (content[0].data, content[1].input) == ("secret", {})


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, anthropic.BadRequestError, "invalid_request_error"),
        (401, anthropic.AuthenticationError, "authentication_error"),
        (403, anthropic.PermissionDeniedError, "permission_error"),
        (404, anthropic.NotFoundError, "not_found_error"),
        (429, anthropic.RateLimitError, "rate_limit_error"),
        (500, anthropic.InternalServerError, "api_error"),
        (529, anthropic.InternalServerError, "overloaded_error"),
    ],
)
async def test_errors_in_its_own_form(
    server: fake_server.RunningServer,
    claude: anthropic.AsyncAnthropic,
    status: int,
    error: type[anthropic.APIStatusError],
    kind: str,
) -> None:
    server.set_scenario("m", {"error": {"status": status}})
    with pytest.raises(error) as caught:
        await _message(claude, streamed=False)
    body: Any = caught.value.body
    assert (caught.value.status_code, body["type"], body["error"]["type"]) == (status, "error", kind)


async def test_an_error_in_the_midst_of_a_stream(
    server: fake_server.RunningServer, claude: anthropic.AsyncAnthropic
) -> None:
    server.set_scenario("m", {"error": {"status": 529}, "error_after_chunks": 3, "text": "long enough"})
    with pytest.raises(anthropic.APIStatusError) as caught:
        await _message(claude, streamed=True)
    assert "Overloaded" in str(caught.value)


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        ({"max_tokens": None}, "max_tokens: Field required"),
        ({"max_tokens": 0}, "max_tokens: Input should be greater"),
        ({"model": ""}, "model: Field required"),
        ({"messages": []}, "at least one message is required"),
        ({"messages": [{"role": "system", "content": "x"}]}, 'Unexpected role "system"'),
        ({"messages": [{"role": "assistant", "content": "x"}]}, 'first message must use the "user" role'),
        ({"messages": [{"role": "user", "content": ""}, *ASKED]}, "all messages must have non-empty content"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": ""}]}]}, "text content blocks must be"),
        (
            {
                "messages": [
                    *ASKED,
                    {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "f", "input": {}}]},
                ]
            },
            "`tool_use` ids were found without `tool_result` blocks immediately after: c1",
        ),
        (
            {
                "messages": [
                    *ASKED,
                    {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "f", "input": {}}]},
                    *ASKED,
                ]
            },
            "`tool_use` ids were found without `tool_result` blocks immediately after: c1",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c9"}]}]},
            "unexpected `tool_use_id` found in `tool_result` blocks: c9",
        ),
        ({"thinking": {"type": "enabled", "budget_tokens": 100}}, "budget_tokens: Input should be greater"),
        ({"thinking": {"type": "enabled", "budget_tokens": 5000}}, "`max_tokens` must be greater than"),
        ({"thinking": THINKING, "temperature": 0.5}, "`temperature` may only be set to 1"),
        ({"thinking": THINKING, "tool_choice": {"type": "any"}}, "Thinking may not be enabled when tool_choice"),
    ],
)
async def test_what_the_api_refuses(
    server: fake_server.RunningServer, http: Any, request_: dict[str, Any], sentence: str
) -> None:
    body = {"model": "m", "max_tokens": 4000, "messages": ASKED, **request_}
    url, version = f"{server.url}/v1/messages", {"anthropic-version": "2023-06-01"}
    async with http.post(url, json=body, headers=version) as response:
        answer = await response.json()
        assert (response.status, answer["type"]) == (400, "error")
        assert sentence in answer["error"]["message"]


async def test_version_key_and_count_of_tokens(http: Any) -> None:
    async with fake_server.running(api_key="s3cret") as server:
        body = {"model": "m", "max_tokens": 10, "system": "Be brief.", "messages": ASKED}
        url, version = f"{server.url}/v1/messages", {"anthropic-version": "2023-06-01"}
        statuses = []
        for headers in (
            version,
            {**version, "x-api-key": "wrong"},
            {"x-api-key": "s3cret"},
            {**version, "x-api-key": "s3cret"},
        ):
            async with http.post(url, json=body, headers=headers) as response:
                statuses.append(response.status)
        assert statuses == [401, 401, 400, 200]
        async with anthropic.AsyncAnthropic(base_url=server.url, api_key="s3cret", max_retries=0) as client:
            counted = await client.messages.count_tokens(model="m", system="Be brief.", messages=ASKED)
            asked = await client.messages.create(model="m", max_tokens=10, system="Be brief.", messages=ASKED)
    assert counted.input_tokens == asked.usage.input_tokens > 0
