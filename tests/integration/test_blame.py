"""Who is to blame for a failed call: the provider only where it answered, or where the way to it broke down."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import litellm
import pytest

import composite_llm
from composite_llm.backend.interface import AttemptRequest, Message
from composite_llm.backend.litellm_backend import LiteLLMBackend
from composite_llm.backend.litellm_facts import LiteLLMFacts
from composite_llm.model.errors import AttemptFailed, Failure, FailureKind
from fake_server import ThreadedServer
from tests.support import wire
from tests.support.asking import FIRST, KEY, MESSAGES, SECOND, Ask


@pytest.fixture(autouse=True)
def _fresh_breakers(provider: None) -> Iterator[None]:
    composite_llm.reset_breakers()
    yield
    composite_llm.reset_breakers()


MODELS = (
    "openai/gpt-4o",
    "anthropic/claude-sonnet-4-5",
    "gemini/gemini-2.5-flash",
    "bedrock/converse/anthropic.claude-3-5-sonnet-20240620-v1:0",
    "hosted_vllm/a",
    "ollama_chat/a",
    "mistral/mistral-large-latest",
    "cohere_chat/command-r",
)


def _with_part(part: Any) -> list[Message]:
    return [{"role": "user", "content": [{"type": "text", "text": "a"}, part]}]


UNSENDABLE: dict[str, dict[str, Any]] = {
    "a part that is a number": {"messages": _with_part(5)},
    "a part that is a list": {"messages": _with_part([])},
    "a part without a type": {"messages": _with_part({})},
    "a part of a type that LiteLLM refuses": {"messages": _with_part({"type": "wobble"})},
    "a content that is a number": {"messages": [{"role": "user", "content": 5}]},
    "a format that is a word": {"messages": MESSAGES, "response_format": "json"},
    "a header that is a number": {"messages": MESSAGES, "extra_headers": {"x-a": 5}},
    "a header of two lines": {"messages": MESSAGES, "extra_headers": {"x-a": "b\nc"}},
}
OF_A_PROVIDER: dict[str, tuple[str, dict[str, Any]]] = {
    "not a number": ("openai/gpt-4o", {"messages": MESSAGES, "temperature": float("nan")}),
    "half an emoji": ("openai/gpt-4o", {"messages": [{"role": "user", "content": "\ud83d"}]}),
    "half an emoji elsewhere": ("openai/gpt-4o", {"messages": MESSAGES, "stop": ["\ud83d"]}),
    "no JSON": ("openai/gpt-4o", {"messages": MESSAGES, "tools": [{"type": "function", "function": {"name": {1}}}]}),
    "an image without an address": ("openai/gpt-4o", {"messages": _with_part({"type": "image_url"})}),
    "a tool without a function": ("anthropic/claude-sonnet-4-5", {"messages": MESSAGES, "tools": [{}]}),
    "a file that is a word": ("gemini/gemini-2.5-flash", {"messages": _with_part({"type": "file", "file": "a"})}),
    "an earlier call's arguments that are no JSON": (
        "ollama_chat/a",
        {
            "messages": [
                *MESSAGES,
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{a"}}],
                },
                {"role": "tool", "tool_call_id": "1", "content": "a"},
            ]
        },
    ),
}


def _chats(server: ThreadedServer) -> list[str]:
    """What was asked, but for what an Ollama server is asked about its models, beside the call."""
    return [record.path for record in server.ledger.records if record.path != "/api/show"]


def _connection(server: ThreadedServer, model: str) -> dict[str, Any]:
    if model.startswith("bedrock/"):
        keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "aws_region_name": "us-east-1"}
        return {"api_base": server.url, **keys}
    speaks_openai = model.startswith(("openai/", "hosted_vllm/", "mistral/"))
    return {"api_base": server.base_url if speaks_openai else server.url, "api_key": KEY}


async def _failure(server: ThreadedServer, model: str, *, streamed: bool, **given: Any) -> Failure:
    backend = LiteLLMBackend(LiteLLMFacts())
    params = {**_connection(server, model), **{key: value for key, value in given.items() if key != "messages"}}
    request = AttemptRequest(model, given["messages"], params, timeout_s=10.0)
    try:
        if streamed:
            async for _ in backend.stream(request):
                pass
        else:
            await backend.complete(request)
    except AttemptFailed as error:
        return error.failure
    pytest.fail("it was answered")


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("case", UNSENDABLE)
async def test_what_cannot_be_put_into_a_providers_form_is_no_failure_of_the_provider(
    case: str, model: str, streamed: bool, server: ThreadedServer
) -> None:
    failure = await _failure(server, model, streamed=streamed, **UNSENDABLE[case])
    assert failure.kind == "unsendable", failure.reason
    assert not failure.retryable
    assert failure.status_code is None
    assert _chats(server) == []


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("case", OF_A_PROVIDER)
async def test_neither_is_what_one_provider_has_no_form_for(case: str, streamed: bool, server: ThreadedServer) -> None:
    model, given = OF_A_PROVIDER[case]
    failure = await _failure(server, model, streamed=streamed, **given)
    assert failure.kind == "unsendable", failure.reason
    assert _chats(server) == []


ANSWERED: dict[str, tuple[dict[str, Any], FailureKind]] = {
    "500": ({"error": {"status": 500}}, "unavailable"),
    "503": ({"error": {"status": 503}}, "unavailable"),
    "504": ({"error": {"status": 504}}, "timed_out"),
    "400": ({"error": {"status": 400}}, "rejected"),
    "401": ({"error": {"status": 401}}, "authentication"),
    "429": ({"error": {"status": 429}}, "rate_limited"),
    "no JSON": ({"malformed_json": True}, "malformed"),
    "a closed connection": ({"drop": "before"}, "unavailable"),
    "half an answer": ({"drop": "body"}, "unavailable"),
}


@pytest.mark.parametrize(
    "model", ["openai/gpt-4o", "hosted_vllm/gpt-4o", "mistral/gpt-4o", "groq/gpt-4o", "deepseek/gpt-4o"]
)
@pytest.mark.parametrize("case", ANSWERED)
async def test_what_a_provider_answers_is_its_own(case: str, model: str, server: ThreadedServer) -> None:
    scenario, kind = ANSWERED[case]
    server.set_scenario("gpt-4o", scenario)
    base = {"api_base": server.base_url, "api_key": KEY}
    failure = await _failure(server, model, streamed=False, messages=MESSAGES, **base)
    assert failure.kind == kind, failure.reason


@pytest.mark.parametrize(
    ("base", "kind"),
    [("http://127.0.0.1:9/v1", "unavailable"), ("nowhere/v1", "internal")],
    ids=["refused", "no address"],
)
async def test_a_connection_that_nobody_takes_is_the_endpoints_and_an_address_that_is_none_is_nobodys(
    base: str, kind: str, server: ThreadedServer
) -> None:
    failure = await _failure(server, "openai/gpt-4o", streamed=False, messages=MESSAGES, api_base=base)
    assert failure.kind == kind, failure.reason


async def test_no_key_to_ask_with_is_no_fault_of_the_request(
    server: ThreadedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    backend = LiteLLMBackend(LiteLLMFacts())
    with pytest.raises(AttemptFailed) as caught:
        await backend.complete(AttemptRequest("openai/gpt-4o", MESSAGES, {"api_base": server.base_url}))
    assert caught.value.failure.kind == "authentication"


def test_a_request_that_cannot_be_sent_is_a_400_without_retries_that_opens_no_breaker(
    ask_both: Ask, server: ThreadedServer
) -> None:
    for _ in range(6):
        with pytest.raises(composite_llm.CompositeError) as caught:
            ask_both(proposers=[FIRST, SECOND], extra_headers={"x-a": 5})
        assert caught.value.status_code == 400
        assert "not asked" in str(caught.value)
    assert server.ledger.records == []
    assert composite_llm.breakers() == []
    ask_both(proposers=[FIRST, SECOND])
    assert len(wire.models(server)) == 3


def test_a_member_that_the_request_has_no_form_for_is_missing_and_the_others_answer(
    ask_both: Ask, server: ThreadedServer
) -> None:
    cohere = {"model": "cohere_chat/command-r", "api_base": server.url, "api_key": KEY, "extra_headers": {"x-a": 5}}
    answer = ask_both(proposers=[cohere, SECOND])
    (missing,) = composite_llm.get_trace(answer).degraded
    assert missing.startswith("member_missing")
    assert "its form" in missing


def test_a_mistake_within_the_process_is_a_500_whose_traceback_is_in_the_log_alone(
    ask_both: Ask, server: ThreadedServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> Any:
        message = "MISTAKE-CANARY"
        raise ImportError(message)

    monkeypatch.setattr(LiteLLMBackend, "_params", broken)
    with pytest.raises(composite_llm.QuorumNotMet) as caught:
        ask_both(proposers=[FIRST, SECOND])
    assert caught.value.status_code == 500
    assert "MISTAKE-CANARY" not in str(caught.value)
    assert "MISTAKE-CANARY" in caplog.text
    assert "Traceback" in caplog.text
    assert composite_llm.breakers() == []
    assert all(len(call.attempts) == 1 for call in composite_llm.get_trace(caught.value).calls)


def test_a_short_timeout_of_one_caller_does_not_take_the_model_from_those_with_more_patience(
    ask: Ask, server: ThreadedServer
) -> None:
    server.set_scenario("gpt-4o-mini", {"latency_s": 1.0})
    hasty = {"model": FIRST, "num_retries": 0, "timeout": 0.2}
    for _ in range(6):
        ask(proposers=[hasty, SECOND])
    hurried = composite_llm.get_trace(ask(proposers=[hasty, SECOND]))
    assert hurried.calls[0].attempts[0].error_class == "BreakerOpen"
    patient = composite_llm.get_trace(ask(proposers=[{"model": FIRST, "num_retries": 0, "timeout": 20}, SECOND]))
    assert patient.degraded == []


@pytest.fixture
def silent_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Takes connections and never answers."""
    monkeypatch.setattr(litellm, "user_url_validation", False, raising=False)
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


FETCHING = "bedrock/converse/anthropic.claude-3-5-sonnet-20240620-v1:0"
"""A model for which LiteLLM fetches images itself, in all its releases beside the event loop."""


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
def test_a_server_that_a_client_points_to_is_not_the_models(
    streamed: bool, ask: Ask, server: ThreadedServer, silent_server: str, no_cached_answers: None
) -> None:
    node = {"model": FETCHING, **_connection(server, FETCHING), "num_retries": 0, "timeout": 0.4}
    image = {"type": "image_url", "image_url": {"url": f"{silent_server}/a.png"}}
    member = {"model": SECOND, "api_base": server.base_url, "api_key": KEY}

    def asked(number: int) -> None:
        messages = [{"role": "user", "content": [{"type": "text", "text": f"What is it? {number}"}, image]}]
        more = {"proposers": [member], "aggregator": node, "messages": messages, "stream": streamed}
        list(ask(f"composite/moa/{FETCHING}", **more))

    for number in range(6):
        with pytest.raises(composite_llm.FinalCallFailed, match="not asked: what the messages point to"):
            asked(number)
    assert composite_llm.breakers() == []


def test_a_model_that_hangs_after_it_was_asked_is(ask: Ask, server: ThreadedServer, silent_server: str) -> None:
    node = {"model": FIRST, "api_base": f"{silent_server}/v1", "api_key": KEY, "num_retries": 0, "timeout": 0.4}
    image = {"type": "image_url", "image_url": {"url": f"{silent_server}/a.png"}}
    messages = [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, image]}]
    for _ in range(5):
        ask(proposers=[node, SECOND], messages=messages)
    (state,) = composite_llm.breakers()
    assert (state.model, state.state) == (FIRST, "open")
