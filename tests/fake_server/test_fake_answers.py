"""Answers without a scenario."""

import json
import subprocess
import sys
from typing import Any

import pytest

import fake_server

RANK = "Give your ranking of Response A, Response B, Response C and Response AA."


def _text(body: Any, choice: int = 0) -> str:
    text = body["choices"][choice]["message"]["content"]
    assert isinstance(text, str)
    return text


def _ballot(text: str) -> dict[str, Any]:
    assert text.startswith("```json\n")
    assert text.endswith("\n```")
    ballot: dict[str, Any] = json.loads(text[8:-4])
    return ballot


async def test_same_body_gives_same_text_and_another_body_another(chat: Any) -> None:
    first = _text((await chat("What is tea?"))[1])
    assert first == _text((await chat("What is tea?"))[1])
    assert first != _text((await chat("What is milk?"))[1])
    assert first != _text((await chat("What is tea?", model="other"))[1])
    assert first != _text((await chat("What is tea?", seed=2))[1])
    assert "m (" in first
    assert "What is tea?" in first


async def test_every_choice_has_its_own_text(chat: Any) -> None:
    _, body, _ = await chat(n=3)
    assert len({_text(body, at) for at in range(3)}) == 3
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2]


async def test_tokens_follow_the_rule(chat: Any) -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    _, body, _ = await chat("x" * 9)
    usage = body["usage"]
    assert usage["prompt_tokens"] == 3
    assert usage["completion_tokens"] == -(-len(_text(body)) // 4)
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    _, with_tools, _ = await chat("x" * 9, tools=tools)
    assert with_tools["usage"]["prompt_tokens"] == -(-(9 + len(json.dumps(tools, separators=(",", ":")))) // 4)
    assert (await chat(""))[1]["usage"]["prompt_tokens"] == 1


async def test_tool_calls_in_the_history_count(chat: Any) -> None:
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "function": {"name": "f"}}]}
    short = (await chat(messages=[{"role": "user", "content": "x"}]))[1]
    longer = (await chat(messages=[{"role": "user", "content": "x"}, call]))[1]
    assert longer["usage"]["prompt_tokens"] > short["usage"]["prompt_tokens"]


async def test_content_parts_are_read(chat: Any) -> None:
    parts = [{"type": "text", "text": "part one"}, {"type": "image_url", "image_url": {"url": "x"}}, "odd"]
    assert '"part one"' in _text((await chat(messages=[{"role": "user", "content": parts}]))[1])


async def test_without_a_user_the_last_message_counts(chat: Any) -> None:
    assert '"Be brief"' in _text((await chat(messages=[{"role": "system", "content": "Be brief"}]))[1])


async def test_limit_cuts_the_text(chat: Any) -> None:
    whole = _text((await chat())[1])
    for name in ("max_tokens", "max_completion_tokens"):
        _, body, _ = await chat(**{name: 5})
        assert _text(body) == whole[:20]
        assert body["choices"][0]["finish_reason"] == "length"
        assert body["usage"]["completion_tokens"] == 5
    assert (await chat(max_tokens=5000))[1]["choices"][0]["finish_reason"] == "stop"


async def test_logprobs_when_asked(chat: Any) -> None:
    _, body, _ = await chat(logprobs=True, top_logprobs=2)
    content = body["choices"][0]["logprobs"]["content"]
    assert "".join(item["token"] for item in content) == _text(body)
    assert all(item["logprob"] <= 0 and bytes(item["bytes"]).decode() == item["token"] for item in content)
    assert all(len(item["top_logprobs"]) == 2 for item in content)
    assert (await chat())[1]["choices"][0]["logprobs"] is None
    assert (await chat(logprobs=True))[1]["choices"][0]["logprobs"]["content"][0]["top_logprobs"] == []


async def test_ballot_ranks_the_labels_found(chat: Any) -> None:
    _, body, _ = await chat(RANK)
    ballot = _ballot(_text(body))
    labels = {"Response A", "Response B", "Response C", "Response AA"}
    assert set(ballot["ranking"]) == labels
    assert set(ballot["reviews"]) == labels
    assert _text((await chat(RANK))[1]) == _text(body)
    orders = {tuple(_ballot(_text((await chat(RANK, model=f"m{at}"))[1]))["ranking"]) for at in range(8)}
    assert len(orders) > 1


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([("user", "RANKING please: Response A, Response B")], True),
        ([("system", "Write a FINAL_RANKING"), ("user", "Response A\nResponse B")], True),
        ([("system", "Give a ranking"), ("assistant", "ok"), ("user", "Response A, Response B")], True),
        ([("user", "ranking of Response A"), ("assistant", "done"), ("user", "Thanks")], False),
        ([("user", "Their rankings of Response A and Response B differ")], False),
        ([("user", "A ranking of things")], False),
    ],
)
async def test_ballot_only_when_asked_for(chat: Any, messages: list[tuple[str, str]], expected: bool) -> None:
    body = (await chat(messages=[{"role": role, "content": text} for role, text in messages]))[1]
    assert _text(body).startswith("```json") is expected


async def test_unusual_text_goes_through(chat: Any) -> None:
    assert "żółw 🐢" in _text((await chat("żółw 🐢"))[1])
    assert "\ud800" in _text((await chat("\ud800"))[1])


_ASK = """
import json, fake_server, urllib.request
with fake_server.running_in_thread(scenarios={"e": {"error_rate": 0.5, "seed": 7}}) as server:
    asked = [("m", "What is tea?"), ("m", "ranking: Response A, Response B, Response C")]
    for model, content in asked + [("e", "x")] * 8:
        body = json.dumps({"model": model, "messages": [{"role": "user", "content": content}]}).encode()
        request = urllib.request.Request(server.base_url + "/chat/completions", body)
        try:
            print(urllib.request.urlopen(request).read().decode())
        except urllib.error.HTTPError as error:
            print(error.code)
            error.close()
"""


def test_two_processes_answer_the_same() -> None:
    outputs = [
        subprocess.run([sys.executable, "-c", _ASK], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert outputs[0] == outputs[1]
    assert "What is tea?" in outputs[0]
    assert "500" in outputs[0].splitlines()


def test_public_names() -> None:
    assert all(hasattr(fake_server, name) for name in fake_server.__all__)
