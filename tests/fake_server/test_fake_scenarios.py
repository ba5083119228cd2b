"""Each key of a scenario, seen over HTTP."""

from typing import Any

import aiohttp
import pytest

import fake_server


@pytest.fixture
def use(server: fake_server.RunningServer) -> Any:
    """Set the scenario of model "m"."""
    return lambda **keys: server.set_scenario("m", keys)


def _message(answer: tuple[int, Any, Any], choice: int = 0) -> Any:
    return answer[1]["choices"][choice]["message"]


async def test_text_fills_placeholders(chat: Any, use: Any) -> None:
    use(text="{model}|{n}|{digest}|{last_user}|{other}")
    body = await chat("say {model}", n=2)
    model, number, digest, last, other = _message(body, 1)["content"].split("|")
    assert (model, number, last, other) == ("m", "2", "say {model}", "{other}")
    assert len(digest) == 12


async def test_texts_are_handed_out_in_turn(chat: Any, use: Any) -> None:
    use(texts=["a", "b", "c"])
    first = (await chat(n=2))[1]["choices"]
    assert [choice["message"]["content"] for choice in first] == ["a", "b"]
    assert [_message(await chat())["content"] for _ in range(3)] == ["c", "a", "b"]


async def test_reasoning_counts_and_comes_before_the_limit(chat: Any, stream: Any, use: Any) -> None:
    use(reasoning="think" * 4, text="answer")
    answer = await chat()
    assert _message(answer)["reasoning_content"] == "think" * 4
    assert answer[1]["usage"]["completion_tokens_details"]["reasoning_tokens"] == 5
    assert answer[1]["usage"]["completion_tokens"] == 7
    for limit, reasoning, text in ((2, "thinkthi", ""), (6, "think" * 4, "answ")):
        cut = await chat(max_tokens=limit)
        assert (_message(cut)["reasoning_content"], _message(cut)["content"]) == (reasoning, text)
        assert cut[1]["choices"][0]["finish_reason"] == "length"
    deltas = [event["choices"][0]["delta"] for event in (await stream())[:-1]]
    assert "".join(delta.get("reasoning_content", "") for delta in deltas) == "think" * 4


async def test_usage_overrides(chat: Any, use: Any) -> None:
    counts = {"prompt_tokens": 10, "completion_tokens": 20, "cached_tokens": 4, "cache_creation_tokens": 3}
    use(usage={**counts, "reasoning_tokens": 5, "audio_tokens": 6, "completion_audio_tokens": 7})
    usage = (await chat())[1]["usage"]
    assert usage == {
        "prompt_tokens": 10,
        "completion_tokens": 20,
        "total_tokens": 30,
        "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 6, "cache_creation_tokens": 3},
        "completion_tokens_details": {"reasoning_tokens": 5, "audio_tokens": 7},
        "cache_creation_input_tokens": 3,
    }


async def test_no_usage(server: Any, chat: Any, stream: Any, use: Any) -> None:
    use(no_usage=True)
    assert "usage" not in (await chat())[1]
    assert all("usage" not in event for event in await stream(stream_options={"include_usage": True}))
    assert all(record.usage["total_tokens"] > 0 for record in server.ledger.records)


async def test_refusal_blank_and_finish_reason(chat: Any, stream: Any, use: Any) -> None:
    use(refusal="I will not.")
    assert _message(await chat()) == {"role": "assistant", "content": None, "refusal": "I will not."}
    deltas = [event["choices"][0]["delta"] for event in (await stream())[:-1]]
    assert "".join(delta.get("refusal") or "" for delta in deltas) == "I will not."
    assert _message(await chat(max_tokens=1))["refusal"] == "I will not."
    use(blank=True)
    blank = await chat()
    assert _message(blank)["content"] == ""
    assert blank[1]["usage"]["completion_tokens"] == 1
    use(text="x", finish_reason="content_filter")
    assert (await chat())[1]["choices"][0]["finish_reason"] == "content_filter"


async def test_tool_calls_beside_text(chat: Any, use: Any) -> None:
    use(text="calling", tool_calls=[{"name": "f", "arguments": "not json"}])
    message = _message(await chat())
    assert message["content"] == "calling"
    assert message["tool_calls"][0]["function"] == {"name": "f", "arguments": "not json"}


async def test_logprobs_forced_and_forbidden(chat: Any, stream: Any, use: Any) -> None:
    use(logprobs=True, text="12345678")
    assert len((await chat())[1]["choices"][0]["logprobs"]["content"]) == 2
    events = (await stream())[:-1]
    tokens = [event["choices"][0]["logprobs"]["content"] for event in events if event["choices"][0]["logprobs"]]
    assert [token["token"] for part in tokens for token in part] == ["1234", "5678"]
    use(logprobs=False)
    assert (await chat(logprobs=True))[1]["choices"][0]["logprobs"] is None


async def test_headers(chat: Any, use: Any) -> None:
    use(headers={"x-extra": "1", "Content-Type": "text/plain"})
    headers = (await chat())[2]
    assert headers["X-Extra"] == "1"
    assert headers.getall("Content-Type") == ["text/plain"]


async def test_errors_have_openai_form(chat: Any, use: Any) -> None:
    use(error={"status": 418, "message": "tea", "code": "pot", "type": "short", "param": "p", "retry_after": 0.5})
    status, body, headers = await chat()
    assert status == 418
    assert body == {"error": {"message": "tea", "type": "short", "param": "p", "code": "pot"}}
    assert headers["Retry-After"] == "0.5"
    use(error={})
    status, body, _ = await chat()
    assert (status, body["error"]["type"]) == (500, "server_error")
    use(error={"retry_after": "Wed, 21 Oct 2026 07:28:00 GMT"})
    assert (await chat())[2]["Retry-After"].startswith("Wed")


async def test_context_window_error(chat: Any, use: Any) -> None:
    use(error={"context_window": True})
    status, body, _ = await chat()
    assert status == 400
    assert body["error"]["code"] == "context_length_exceeded"
    assert "maximum context length" in body["error"]["message"]


async def test_error_rate_is_seeded(chat: Any, use: Any) -> None:
    async def statuses(**keys: Any) -> list[int]:
        use(error_rate=0.3, error={"status": 503}, **keys)
        return [(await chat())[0] for _ in range(40)]

    first = await statuses(seed=1)
    assert 3 < first.count(503) < 25
    assert await statuses(seed=1) == first
    assert await statuses(seed=2) != first


async def test_sequence_fails_twice_then_answers(server: Any, chat: Any) -> None:
    server.set_scenario("*", {"sequence": [{"error": {"status": 429}}, {"error": {}}, {"text": "ok"}]})
    assert [(await chat())[0] for _ in range(4)] == [429, 500, 200, 200]
    assert (await chat(model="other"))[0] == 429


async def test_by_content_takes_the_first_match(chat: Any, use: Any) -> None:
    rules = [
        {"contains": "tea", "then": {"text": "T"}},
        {"contains": "te", "then": {"sequence": [{"text": "1"}, {"text": "2"}]}},
    ]
    use(by_content=rules, text="none")
    questions = ["no", "tea", "te", "te", "te"]
    assert [_message(await chat(question))["content"] for question in questions] == ["none", "T", "1", "2", "2"]


async def test_pattern_order(server: Any, chat: Any) -> None:
    for name in ("*", "vendor/*", "vendor/big-*", "vendor/big-one"):
        server.set_scenario(name, {"text": name})
    models = ["x", "vendor/x", "vendor/big-x", "vendor/big-one"]
    assert [_message(await chat(model=model))["content"] for model in models] == [
        "*",
        "vendor/*",
        "vendor/big-*",
        "vendor/big-one",
    ]
    assert server.remove_scenario("vendor/big-one")
    assert not server.remove_scenario("vendor/big-one")
    assert _message(await chat(model="vendor/big-one"))["content"] == "vendor/big-*"


async def test_latency_delays(server: Any, chat: Any, stream: Any, use: Any) -> None:
    use(text="12345678", latency_s=0.004, time_per_token_s=0.003, first_token_s=0.002)
    await chat()
    await stream()
    plain, streamed = server.ledger.records
    assert plain.finished_at - plain.started_at >= 0.009
    assert streamed.finished_at - streamed.started_at >= 0.008


async def test_malformed_json(chat: Any, stream: Any, use: Any) -> None:
    use(malformed_json=True)
    assert isinstance((await chat())[1], str)
    events = await stream()
    assert isinstance(events[1], str)
    assert events[-1] == "[DONE]"


async def test_split_utf8(server: Any, http: aiohttp.ClientSession, stream: Any, use: Any) -> None:
    use(text="zażółć 🐢", split_utf8=True)
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
    async with http.post(f"{server.base_url}/chat/completions", json=body) as response:
        pieces = [piece async for piece in response.content.iter_any()]
    assert "zażółć 🐢" in b"".join(pieces).decode()
    with pytest.raises(UnicodeDecodeError):
        pieces[0].decode()
    events = await stream()
    assert "".join(event["choices"][0]["delta"].get("content", "") for event in events[:-1]) == "zażółć 🐢"


async def test_stream_shapes(chat: Any, stream: Any, use: Any) -> None:
    use(text="abcdef", chunk_chars=2, empty_first_chunk=True, comment_keepalive=True)
    events = await stream()
    assert events[0::2][:-1] == [": keep-alive"] * 6
    payloads = events[1::2]
    assert payloads[0]["choices"] == []
    deltas = [payload["choices"][0]["delta"] for payload in payloads[1:]]
    assert deltas == [
        {"role": "assistant", "content": ""},
        {"content": "ab"},
        {"content": "cd"},
        {"content": "ef"},
        {},
    ]
    use(ignore_stream=True, text="plain")
    assert _message(await chat(stream=True))["content"] == "plain"


async def test_choices_take_turns_in_a_stream(stream: Any, use: Any) -> None:
    use(texts=["aaaa", "bbbbbbbb"])
    events = (await stream(n=2))[:-1]
    assert [event["choices"][0]["index"] for event in events] == [0, 1, 0, 1, 0, 1, 1]


@pytest.mark.parametrize("n", [1, 2])
async def test_usage_on_last_content_chunk(stream: Any, use: Any, n: int) -> None:
    use(text="abcdefgh", usage_on_last_content_chunk=True)
    events = (await stream(n=n, stream_options={"include_usage": True}))[:-1]
    last = events[-1]
    assert last["choices"][0]["delta"] == {"content": "efgh"}
    assert last["choices"][0]["finish_reason"] == "stop"
    assert last["usage"]["completion_tokens"] == 2 * n
    assert all("usage" not in event for event in events[:-1])


async def test_include_usage_is_null_until_the_end(stream: Any) -> None:
    events = (await stream(stream_options={"include_usage": True}))[:-1]
    assert all(event["usage"] is None for event in events[:-1])
    assert events[-1]["usage"]["total_tokens"] > 0


async def test_large_stream_is_written_in_parts(server: Any, stream: Any, use: Any) -> None:
    use(text="x" * 20_000, chunk_chars=100)
    events = (await stream())[:-1]
    assert sum(len(event["choices"][0]["delta"].get("content", "")) for event in events) == 20_000
    assert server.ledger.records[0].chunks == len(events) == 202
