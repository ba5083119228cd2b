"""Google's official client speaks with the server, plain and streamed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio
from google import genai
from google.genai import errors, types

import fake_server

ASKED: Any = [{"role": "user", "parts": [{"text": "What is the weather in Oslo?"}]}]
TOOL = types.Tool(function_declarations=[types.FunctionDeclaration(name="weather", description="The weather.")])
TURN = {
    "rules": ["gemini_signatures"],
    "says": [
        {"reasoning": "The weather first.", "tool_calls": [{"name": "weather", "arguments": {"city": "Oslo"}}]},
        {"text": "Four degrees."},
    ],
}


# The client's own warning about how it uses aiohttp.
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")


@pytest_asyncio.fixture
async def gemini(server: fake_server.RunningServer) -> AsyncIterator[genai.Client]:
    async with _client(server.url, "none") as client:
        yield client


@asynccontextmanager
async def _client(url: str, key: str) -> AsyncIterator[genai.Client]:
    with genai.Client(api_key=key, http_options=types.HttpOptions(base_url=url)) as client:
        async with client.aio:
            yield client


async def _generate(
    gemini: genai.Client, streamed: bool, contents: Any = ASKED, **config: Any
) -> tuple[list[Any], Any, Any]:
    """The parts of the answer, its usage and the reason of its end."""
    asked: Any = {"model": "m", "contents": contents, "config": types.GenerateContentConfig(**config)}
    if not streamed:
        answers = [await gemini.aio.models.generate_content(**asked)]
    else:
        answers = [chunk async for chunk in await gemini.aio.models.generate_content_stream(**asked)]
    candidates = [answer.candidates[0] for answer in answers if answer.candidates]
    contents_ = [candidate.content for candidate in candidates if candidate.content is not None]
    parts = [part for content in contents_ for part in content.parts or () if part.text != ""]
    return parts, answers[-1].usage_metadata, candidates[-1].finish_reason if candidates else None


def _text(parts: list[Any], *, thought: bool = False) -> str:
    return "".join(part.text for part in parts if part.text and bool(part.thought) is thought)


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "stream"])
async def test_text_thoughts_and_usage(server: fake_server.RunningServer, gemini: genai.Client, streamed: bool) -> None:
    counts = {"prompt_tokens": 100, "completion_tokens": 20, "cached_tokens": 60, "reasoning_tokens": 5}
    server.set_scenario("m", {"reasoning": "Perhaps five.", "text": "Four degrees.", "usage": counts})
    parts, usage, ended = await _generate(gemini, streamed, system_instruction="Be brief.")
    assert (_text(parts, thought=True), _text(parts), ended) == ("Perhaps five.", "Four degrees.", "STOP")
    assert (usage.prompt_token_count, usage.cached_content_token_count) == (100, 60)
    assert (usage.candidates_token_count, usage.thoughts_token_count, usage.total_token_count) == (15, 5, 120)
    server.set_scenario("m", {"text": "x" * 100})
    assert (await _generate(gemini, streamed, max_output_tokens=5))[2] == "MAX_TOKENS"


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "stream"])
async def test_a_turn_with_a_signed_function_call(
    server: fake_server.RunningServer, gemini: genai.Client, streamed: bool
) -> None:
    server.set_scenario("m", TURN)
    parts, _, _ = await _generate(gemini, streamed, tools=[TOOL])
    called = parts[-1]
    assert (called.function_call.name, called.function_call.args) == ("weather", {"city": "Oslo"})
    assert called.thought_signature
    result = {"role": "user", "parts": [{"function_response": {"name": "weather", "response": {"result": "4"}}}]}

    def turn(part: Any) -> Any:
        return [*ASKED, types.Content(role="model", parts=[part]), result]

    for signature in (None, b"invented"):
        wrong = called.model_copy(update={"thought_signature": signature})
        with pytest.raises(errors.ClientError, match="signature"):
            await _generate(gemini, streamed, turn(wrong), tools=[TOOL])
    parts, _, _ = await _generate(gemini, streamed, turn(called), tools=[TOOL])
    assert _text(parts) == "Four degrees."


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "stream"])
async def test_a_refusal_has_no_candidates(
    server: fake_server.RunningServer, gemini: genai.Client, streamed: bool
) -> None:
    server.set_scenario("m", {"refusal": "I will not."})
    parts, usage, ended = await _generate(gemini, streamed)
    assert (parts, ended) == ([], None)
    assert usage.prompt_token_count > 0


async def test_several_candidates(server: fake_server.RunningServer, gemini: genai.Client) -> None:
    server.set_scenario("m", {"texts": ["a", "b"]})
    config = types.GenerateContentConfig(candidate_count=2)
    answer = await gemini.aio.models.generate_content(model="m", contents=ASKED, config=config)
    assert [
        candidate.content.parts[0].text
        for candidate in answer.candidates or ()
        if candidate.content and candidate.content.parts
    ] == ["a", "b"]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "INVALID_ARGUMENT"),
        (403, "PERMISSION_DENIED"),
        (404, "NOT_FOUND"),
        (429, "RESOURCE_EXHAUSTED"),
        (500, "INTERNAL"),
        (503, "UNAVAILABLE"),
    ],
)
async def test_errors_in_its_own_form(
    server: fake_server.RunningServer, gemini: genai.Client, status: int, kind: str
) -> None:
    server.set_scenario("m", {"error": {"status": status, "retry_after": 34}})
    with pytest.raises(errors.APIError) as caught:
        await _generate(gemini, streamed=False)
    assert (caught.value.code, caught.value.status) == (status, kind)
    assert caught.value.details["error"]["details"][0]["retryDelay"] == "34s"


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({}, "contents is not specified"),
        ({"contents": ASKED, "max_retries": 0}, 'Unknown name "maxRetries"'),
        ({"contents": ASKED, "generationConfig": {"no_such": 1}}, 'Unknown name "noSuch" at'),
        ({"contents": [{"role": "assistant", "parts": []}]}, "Please use a valid role: user, model."),
        (
            {"contents": [{"role": "model", "parts": [{"functionCall": {"name": "f"}}]}]},
            "immediately after a user turn",
        ),
        (
            {"contents": [*ASKED, {"role": "model", "parts": [{"functionCall": {"name": "f"}}]}, *ASKED]},
            "number of function response parts",
        ),
    ],
)
async def test_what_the_api_refuses(
    server: fake_server.RunningServer, http: Any, body: dict[str, Any], sentence: str
) -> None:
    async with http.post(f"{server.url}/v1beta/models/m:generateContent", json=body) as response:
        answer = await response.json()
        assert (response.status, answer["error"]["status"]) == (400, "INVALID_ARGUMENT")
        assert sentence in answer["error"]["message"]


async def test_keys_and_the_count_of_tokens() -> None:
    async with fake_server.running(api_key="s3cret") as server:
        async with _client(server.url, "wrong") as client:
            with pytest.raises(errors.ClientError) as caught:
                await _generate(client, streamed=False)
            assert (caught.value.code, caught.value.message) == (400, "API key not valid. Please pass a valid API key.")
        async with _client(server.url, "s3cret") as client:
            counted = await client.aio.models.count_tokens(model="m", contents=ASKED)
            _, usage, _ = await _generate(client, streamed=False)
    assert counted.total_tokens == usage.prompt_token_count
