"""Chat completions as servers other than OpenAI's give them."""

import json
from typing import Any

import pytest

import fake_server

ERRORS: dict[str, Any] = {
    "openai": {"error": {"message": "no", "type": "rate_limit_error", "param": None, "code": "rate_limit_exceeded"}},
    "vllm": {"error": {"message": "no", "type": "InternalServerError", "param": None, "code": 429}},
    "llama_cpp": {"error": {"code": 429, "message": "no", "type": "server_error"}},
    "lm_studio": {"error": "no"},
    "huggingface": {"error": "no", "error_type": "overloaded"},
    "openrouter": {"error": {"message": "no", "code": 429}},
    "google": [{"error": {"code": 429, "message": "no", "status": "RESOURCE_EXHAUSTED"}}],
    "mistral": {"object": "error", "message": "no", "type": "invalid_request_error", "param": None, "code": None},
}
IN_STREAMS: dict[str, Any] = {
    **ERRORS,
    "lm_studio": {"error": {"message": "no"}},
    "openrouter": {"error": {"code": "server_error", "message": "no"}},
}


@pytest.mark.parametrize("name", ERRORS)
async def test_errors_have_the_servers_form(server: fake_server.RunningServer, chat: Any, name: str) -> None:
    server.set_scenario("m", {"served_by": name, "error": {"status": 429, "message": "no"}})
    assert (await chat())[:2] == (429, ERRORS[name])


@pytest.mark.parametrize("name", IN_STREAMS)
@pytest.mark.parametrize("after", [0, 2])
async def test_an_error_in_a_stream_comes_behind_a_status_of_200_and_ends_it(
    server: fake_server.RunningServer, http: Any, name: str, after: int
) -> None:
    error = {"status": 429, "message": "no"}
    server.set_scenario("m", {"served_by": name, "error": error, "error_after_chunks": after, "text": "long enough"})
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "Hello"}]}
    async with http.post(f"{server.base_url}/chat/completions", json=body) as response:
        assert response.status == 200
        events = [line for line in (await response.text()).split("\n") if line]
    assert "[DONE]" not in events[-1]
    told = json.loads(events[-1].removeprefix("data: "))
    assert (told["error"] if name == "openrouter" else told) == (
        IN_STREAMS[name]["error"] if name == "openrouter" else IN_STREAMS[name]
    )
    assert (events[-2:-1] == ["event: error"]) is (name == "lm_studio")
    assert sum(line.startswith("data: ") for line in events) == after + 1


@pytest.mark.parametrize(
    ("name", "status", "sentence"),
    [
        ("vllm", 401, "Unauthorized"),
        ("vllm", 404, "NotFoundError"),
        ("llama_cpp", 503, "Loading model"),
        ("huggingface", 402, "monthly included credits"),
        ("huggingface", 429, "Model is overloaded"),
        ("google", 503, "UNAVAILABLE"),
        ("mistral", 401, "Unauthorized"),
    ],
)
async def test_usual_sentences(
    server: fake_server.RunningServer, chat: Any, name: str, status: int, sentence: str
) -> None:
    server.set_scenario("m", {"served_by": name, "error": {"status": status}})
    answered, body, _ = await chat()
    assert answered == status
    assert sentence in json.dumps(body)


async def test_fields_that_only_one_server_has(server: fake_server.RunningServer, chat: Any) -> None:
    server.set_scenario("l", {"served_by": "llama_cpp"})
    server.set_scenario("s", {"served_by": "lm_studio"})
    body = (await chat(model="l"))[1]
    assert body["timings"]["predicted_n"] == body["usage"]["completion_tokens"]
    assert "stats" in (await chat(model="s"))[1]


async def test_mistral_thinks_in_parts_and_counts_on_its_last_chunk(
    server: fake_server.RunningServer, chat: Any, stream: Any
) -> None:
    server.set_scenario("m", {"served_by": "mistral", "reasoning": "hm", "text": "42"})
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
    _, body, _ = await chat()
    assert body["choices"][0]["message"]["content"] == [thinking, {"type": "text", "text": "42"}]
    *chunks, last, _done = await stream()
    assert [chunk["choices"][0]["delta"]["content"] for chunk in chunks] == ["", [thinking], "42"]
    assert (last["usage"], last["choices"][0]["finish_reason"]) == (body["usage"], "stop")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("vllm", "in the messages, 0 in the completion"),
        ("llama_cpp", "exceeds the available context size (20 tokens)"),
        ("lm_studio", "context length of only 20 tokens"),
        ("google", "exceeds the maximum number of tokens allowed (20)"),
        ("openai", "maximum context length is 20 tokens"),
    ],
)
async def test_a_window_in_the_servers_own_words(
    server: fake_server.RunningServer, chat: Any, name: str, sentence: str
) -> None:
    server.set_scenario("m", {"served_by": name, "context_window": {"tokens": 20}})
    assert sentence in json.dumps((await chat("x" * 100))[1])


async def test_the_router_of_hugging_face(server: fake_server.RunningServer, http: Any) -> None:
    body = {"model": "deepseek-ai/DeepSeek-R1", "messages": [{"role": "user", "content": "Hello"}]}
    async with http.post(f"{server.url}/together/v1/chat/completions", json=body) as response:
        assert (response.status, (await response.json())["model"]) == (200, "deepseek-ai/DeepSeek-R1")
