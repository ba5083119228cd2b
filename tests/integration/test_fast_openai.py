"""Nodes of the provider `openai` go through the SDK's untyped `post`: nothing of it may be seen but the time saved."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx
import litellm
import pytest
from anyio.from_thread import BlockingPortal
from hypothesis import given, settings
from hypothesis import strategies as st
from litellm.integrations.custom_logger import CustomLogger
from openai._models import construct_type
from openai.types.chat import ChatCompletionChunk

from composite_llm.backend.litellm_openai import chunk_of, client_for
from tests.support.asking import MESSAGES

pytestmark = pytest.mark.skipif(
    not hasattr(litellm.main.openai_chat_completions, "get_openai_client"),
    reason="this LiteLLM hands out no client; nodes of OpenAI are asked in its usual way",
)

MODEL = "openai/gpt-4o-mini"
PARAMS = {"api_key": "sk-played", "api_base": "http://played.test/v1"}
OURS = {"max_retries": 0, "num_retries": 0, "timeout": 600.0}


class Played:
    """LiteLLM's shared HTTP client, answered from here."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.answer: Any = lambda: httpx.Response(200, json={})

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer: httpx.Response = self.answer()
        return answer


@pytest.fixture(scope="module")
def upstream() -> Iterator[Played]:
    """One for all tests: LiteLLM keeps a client per key and endpoint, and closes others' when it has too many."""
    upstream = Played()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(litellm, "aclient_session", httpx.AsyncClient(transport=httpx.MockTransport(upstream)))
        yield upstream


@pytest.fixture
def played(upstream: Played) -> Played:
    upstream.requests.clear()
    return upstream


async def asked(*, fast: bool, **params: Any) -> Any:
    """What LiteLLM makes of an answer, or of an error, through either client."""
    call = {"model": MODEL, "messages": MESSAGES, **PARAMS, **OURS, **params}
    client = client_for({**PARAMS, **params}, 600.0) if fast else None
    assert (client is not None) == fast
    try:
        response: Any = await litellm.acompletion(**call, **({"client": client} if fast else {}))
        return [chunk.model_dump() async for chunk in response] if params.get("stream") else response.model_dump()
    except Exception as error:  # noqa: BLE001  # either side's error is compared
        return type(error).__name__, getattr(error, "status_code", None), str(error)


Both = Callable[..., tuple[Any, Any]]
"""What comes of a call through LiteLLM's client, and through ours."""


@pytest.fixture(scope="module")
def both(upstream: Played, portal: BlockingPortal) -> Both:
    async def ask_twice(params: dict[str, Any]) -> tuple[Any, Any]:
        return await asked(fast=False, **params), await asked(fast=True, **params)

    # On a loop that outlives the test: LiteLLM's logging has a task on each loop that it is called from.
    return lambda **params: portal.call(ask_twice, params)


def without_moments(value: Any) -> Any:
    """The same without what differs from call to call by itself."""
    if isinstance(value, Mapping):
        return {key: without_moments(inner) for key, inner in value.items() if key not in ("created", "id")}
    return [without_moments(inner) for inner in value] if isinstance(value, list) else value


texts = st.text(max_size=20)
maybe_text = st.none() | texts
tool_calls = st.lists(
    st.fixed_dictionaries(
        {
            "id": texts,
            "type": st.just("function"),
            "function": st.fixed_dictionaries({"name": texts, "arguments": texts}),
        }
    ),
    max_size=2,
)
messages = st.fixed_dictionaries(
    {},
    optional={
        "role": st.just("assistant"),
        "content": maybe_text,
        "refusal": maybe_text,
        "reasoning_content": maybe_text,
        "tool_calls": st.none() | tool_calls,
        "annotations": st.just([]),
        "audio": st.none(),
        "unheard_of": texts,
    },
)
choices = st.fixed_dictionaries(
    {"message": messages},
    optional={
        "index": st.integers(0, 3),
        "finish_reason": st.sampled_from(["stop", "length", "tool_calls", "content_filter", None]),
        "logprobs": st.none(),
        "unheard_of": texts,
    },
)
usages = st.fixed_dictionaries(
    {"prompt_tokens": st.integers(0, 99), "completion_tokens": st.integers(0, 99), "total_tokens": st.integers(0, 198)},
    optional={
        "prompt_tokens_details": st.just({"cached_tokens": 3}),
        "completion_tokens_details": st.none() | st.just({"reasoning_tokens": 2}),
    },
)
completions = st.fixed_dictionaries(
    {"choices": st.lists(choices, max_size=3)},
    optional={
        "id": texts,
        "object": st.just("chat.completion"),
        "created": st.integers(0, 2**31),
        "model": st.sampled_from(["gpt-4o-mini", "gpt-4o-mini-2024-07-18", "other"]),
        "usage": usages | st.none(),
        "system_fingerprint": maybe_text,
        "service_tier": st.sampled_from(["default", None]),
        "unheard_of": texts,
    },
)


@settings(max_examples=200)
@given(body=completions | st.lists(texts, max_size=2) | texts)
def test_any_answer_becomes_the_same_response(upstream: Played, both: Both, body: Any) -> None:
    upstream.requests.clear()
    upstream.answer = lambda: httpx.Response(200, json=body)
    theirs, ours = both()
    assert without_moments(ours) == without_moments(theirs)
    first, second = upstream.requests
    assert json.loads(first.content) == json.loads(second.content)


@pytest.mark.parametrize(
    "params",
    [
        {"tools": [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]},
        {"response_format": {"type": "json_object"}, "temperature": 0.5, "seed": 3, "stop": ["x"], "n": 2},
        {"extra_headers": {"x-team": "blue"}, "extra_body": {"top_k": 4, "nested": {"a": [1, None]}}},
        {"extra_query": {"version": "2"}, "user": "someone", "logprobs": True, "top_logprobs": 2},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "Was ist das? äöü€"}]}]},
        {"stream": True, "stream_options": {"include_usage": True}},
    ],
    ids=lambda params: "+".join(params),
)
def test_the_same_request_goes_upstream(played: Played, both: Both, params: dict[str, Any]) -> None:
    played.answer = lambda: httpx.Response(200, json={"choices": [{"message": {"content": "So."}}]})
    both(**params)
    theirs, ours = played.requests
    assert (ours.method, ours.url) == (theirs.method, theirs.url)
    assert json.loads(ours.content) == json.loads(theirs.content)
    own = {"x-stainless-raw-response"}
    assert {k: v for k, v in ours.headers.items() if k not in own} == {
        k: v for k, v in theirs.headers.items() if k not in own
    }


@pytest.mark.parametrize(
    "answer",
    [
        *(
            httpx.Response(status, json={"error": {"message": "no", "code": code}}, headers={"retry-after": "7"})
            for status, code in [(400, "context_length_exceeded"), (401, None), (404, None), (422, None), (429, None)]
        ),
        httpx.Response(500, text="<html>no</html>"),
        httpx.Response(200, text="not JSON", headers={"content-type": "text/plain"}),
        httpx.Response(200, text="{broken", headers={"content-type": "application/json"}),
        httpx.Response(200, text="", headers={"content-type": "application/json"}),
    ],
    ids=lambda answer: f"{answer.status_code}-{answer.text[:12]}",
)
@pytest.mark.parametrize("stream", [False, True])
def test_an_error_stays_the_same_error(played: Played, both: Both, answer: httpx.Response, stream: bool) -> None:
    played.answer = lambda: httpx.Response(answer.status_code, content=answer.content, headers=answer.headers)
    theirs, ours = both(**({"stream": True} if stream else {}))
    assert without_moments(ours) == without_moments(theirs)


@pytest.mark.parametrize("error", [httpx.ReadTimeout("slow"), httpx.ConnectError("away")], ids=["timeout", "connect"])
def test_a_broken_connection_stays_the_same_error(played: Played, both: Both, error: httpx.TransportError) -> None:
    def fail() -> httpx.Response:
        raise error

    played.answer = fail
    theirs, ours = both()
    # The message says how long it took.
    assert ours[:2] == theirs[:2]
    assert len(played.requests) == 2


def test_a_stream_has_the_same_chunks(played: Played, both: Both) -> None:
    deltas = [{"role": "assistant"}, {"reasoning_content": "Hm."}, {"content": "Sö"}, {"content": " it is."}, {}]
    chunks: list[dict[str, Any]] = [
        {"choices": [{"index": 0, "delta": delta, "finish_reason": None if delta else "stop"}]} for delta in deltas
    ]
    chunks.append({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}})
    lines = [json.dumps({"id": "1", "model": "gpt-4o-mini", "created": 1, **chunk}) for chunk in chunks]
    content = "".join(f"data: {line}\n\n" for line in [*lines, "[DONE]"])
    played.answer = lambda: httpx.Response(200, text=content, headers={"content-type": "text/event-stream"})
    theirs, ours = both(stream=True, stream_options={"include_usage": True})
    assert without_moments(ours) == without_moments(theirs)
    assert "".join(chunk["choices"][0]["delta"]["content"] or "" for chunk in ours if chunk["choices"]) == "Sö it is."


@pytest.mark.parametrize(
    ("variables", "attributes"),
    [
        ({"OPENAI_API_KEY": "sk-environment", "OPENAI_BASE_URL": "http://environment.test/v1"}, {}),
        ({"OPENAI_API_KEY": "sk-environment", "OPENAI_API_BASE": "http://older.test/v1"}, {}),
        ({"OPENAI_API_KEY": "sk-environment"}, {"api_key": "sk-attribute", "api_base": "http://attribute.test/v1"}),
        ({"OPENAI_API_KEY": "sk-environment"}, {"openai_key": "sk-openai"}),
    ],
)
def test_key_and_endpoint_are_found_where_litellm_finds_them(
    played: Played, both: Both, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], attributes: dict[str, str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    for name, value in attributes.items():
        monkeypatch.setattr(litellm, name, value)
    both(api_key=None, api_base=None)
    theirs, ours = played.requests
    assert (ours.url, ours.headers["authorization"]) == (theirs.url, theirs.headers["authorization"])


class Redirecting(CustomLogger):
    """An application's hook that may send a call elsewhere."""

    async def async_pre_call_deployment_hook(self, kwargs: dict[str, Any], call_type: Any) -> dict[str, Any] | None:
        return {**kwargs, "api_base": "http://elsewhere.test/v1"}


@pytest.mark.parametrize("case", ["no key", "organization", "secret manager", "named credential", "hook", "own client"])
def test_litellm_makes_its_own_client_where_key_and_endpoint_are_not_plain(
    monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    params: dict[str, Any] = dict(PARAMS)
    match case:
        case "no key":
            monkeypatch.delenv("OPENAI_API_KEY", raising=False)
            del params["api_key"]
        case "organization":
            monkeypatch.setattr(litellm, "organization", "org-1")
        case "secret manager":
            monkeypatch.setattr(litellm, "secret_manager_client", object())
        case "named credential":
            params["litellm_credential_name"] = "vault"
        case "hook":
            monkeypatch.setattr(litellm, "callbacks", [Redirecting()])
        case _:
            params["client"] = object()

    assert client_for(params, None) is None


def test_what_a_call_was_made_with_can_be_copied() -> None:
    client = client_for(PARAMS, None)
    assert client is not None
    assert copy.deepcopy({"client": client})["client"] is client
    assert copy.copy(client).api_key == PARAMS["api_key"]


def test_an_older_litellm_makes_its_own_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(litellm.main, "openai_chat_completions", object())
    assert client_for(PARAMS, None) is None


scalars = st.none() | texts | st.integers(0, 9) | st.booleans()
deltas = st.dictionaries(
    st.sampled_from(["role", "content", "refusal", "reasoning_content", "unheard_of"]), st.none() | texts, max_size=4
) | st.fixed_dictionaries(
    {},
    optional={
        "content": maybe_text,
        "tool_calls": st.lists(
            st.fixed_dictionaries(
                {"index": st.integers(0, 3)},
                optional={"id": maybe_text, "function": st.fixed_dictionaries({}, optional={"arguments": maybe_text})},
            ),
            max_size=2,
        ),
        "unheard_of": st.dictionaries(texts, scalars, max_size=2),
    },
)
pieces = st.fixed_dictionaries(
    {},
    optional={
        "id": maybe_text,
        "choices": st.none()
        | st.lists(
            st.fixed_dictionaries(
                {},
                optional={
                    "index": st.integers(0, 3),
                    "delta": st.none() | deltas,
                    "finish_reason": st.sampled_from(["stop", None]),
                    "logprobs": st.none() | st.just({"content": [{"token": "a", "logprob": -0.1}]}),
                    "unheard_of": scalars,
                },
            ),
            max_size=3,
        ),
        "usage": st.none() | usages,
        "created": st.integers(0, 2**31),
        "unheard_of": scalars,
    },
)


@settings(max_examples=400)
@given(piece=pieces | st.lists(scalars, max_size=2) | scalars)
def test_any_piece_of_a_stream_becomes_the_chunk_that_the_sdk_makes_of_it(piece: Any) -> None:
    ours: Any = chunk_of(piece)
    theirs: Any = construct_type(type_=ChatCompletionChunk, value=piece)
    assert ours == theirs
    assert type(ours) is type(theirs)
    if isinstance(theirs, ChatCompletionChunk):
        assert ours.model_dump(exclude_unset=True) == theirs.model_dump(exclude_unset=True)
        assert ours.model_dump() == theirs.model_dump()
        assert [type(choice) for choice in ours.choices or ()] == [type(choice) for choice in theirs.choices or ()]
