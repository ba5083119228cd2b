"""LiteLLM's own OpenAI client, told to skip what nobody here reads: a third less work for each call of a node.

LiteLLM sends plain JSON through the OpenAI SDK's typed methods and turns what they return into plain JSON again. The
SDK's `post`, which it documents for endpoints that it has no method for, does the same request without the types: same
connection pool, headers, time limits and errors. LiteLLM takes a client as `client=`, so that is what it is given.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import httpx
import litellm
from litellm.integrations.custom_logger import CustomLogger
from openai import AsyncOpenAI, AsyncStream
from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionMessage
from openai.types.chat.chat_completion import Choice
from openai.types.chat.chat_completion_chunk import Choice as ChunkChoice
from openai.types.chat.chat_completion_chunk import ChoiceDelta
from openai.types.completion_usage import CompletionTokensDetails, CompletionUsage, PromptTokensDetails
from pydantic import BaseModel

from composite_llm.backend.litellm_facts import default_base

_PATH = "/chat/completions"
_ELSEWHERE = frozenset({"client", "organization", "litellm_credential_name", "shared_session", "max_retries"})
"""Parameters by which a caller chooses client or credentials by other means than key and endpoint."""


def client_for(params: Mapping[str, Any], timeout_s: float | None) -> Client | None:
    """The client for one attempt at a model of the provider `openai`; None where LiteLLM should make its own.

    That is wherever endpoint or key are not plain to see: a secret manager, an organization, a named credential, a hook
    that may change them.

    Args:
        params: The call's LiteLLM parameters.
        timeout_s: The time limit that the call is sent with.
    """
    make = getattr(litellm.main.openai_chat_completions, "get_openai_client", None)  # absent before LiteLLM 1.10x
    key = _key(params)
    if make is None or key is None or not _ELSEWHERE.isdisjoint(params) or _settings_decide() or _hooks_decide():
        return None
    inner = make(is_async=True, api_key=key, api_base=_base(params), timeout=timeout_s or 600.0, max_retries=0)
    return Client(inner) if isinstance(inner, AsyncOpenAI) else None


def _key(params: Mapping[str, Any]) -> str | None:
    key = params.get("api_key") or litellm.api_key or litellm.openai_key or os.environ.get("OPENAI_API_KEY")
    return key if isinstance(key, str) and key else None


def _base(params: Mapping[str, Any]) -> str:
    return str(params.get("api_base") or params.get("base_url") or litellm.api_base or default_base("openai"))


def _settings_decide() -> bool:
    return any((litellm.organization, os.environ.get("OPENAI_ORGANIZATION"), litellm.secret_manager_client))


def _hooks_decide() -> bool:
    """Whether an application's hook sees the call between here and the provider, and may send it elsewhere."""
    theirs = CustomLogger.async_pre_call_deployment_hook
    return any(
        isinstance(callback, CustomLogger)
        and type(callback).async_pre_call_deployment_hook is not theirs
        and not type(callback).__module__.startswith("composite_llm.")
        for callback in litellm.callbacks
    )


class Client:
    """What LiteLLM asks of an `AsyncOpenAI`, on top of one that LiteLLM made, pools and closes.

    Args:
        inner: LiteLLM's.
    """

    def __init__(self, inner: AsyncOpenAI) -> None:
        self._inner = inner
        # LiteLLM sets them on the client that it is given; this one is used for a single call.
        self.organization: str | None = None
        self.max_retries = 0

    def __getattr__(self, name: str) -> Any:
        if name == "_inner":
            # Before it is set: a copy that is being made.
            raise AttributeError(name)
        return getattr(self._inner, name)

    def __deepcopy__(self, _memo: Any) -> Client:
        # Callbacks copy what a call was made with; a connection pool cannot be.
        return self

    @property
    def chat(self) -> Client:
        """`client.chat.completions.with_raw_response.create` is the one path that is taken."""
        return self

    @property
    def completions(self) -> Client:
        """As above."""
        return self

    @property
    def with_raw_response(self) -> Client:
        """As above."""
        return self

    async def create(
        self,
        *,
        timeout: Any = None,
        extra_headers: Mapping[str, str] | None = None,
        extra_query: Mapping[str, object] | None = None,
        extra_body: Mapping[str, Any] | None = None,
        **body: Any,
    ) -> RawAnswer | RawStream:
        """One chat completion, plain or streamed.

        Raises:
            openai.OpenAIError: As the SDK's own method.
        """
        options: Any = {"timeout": timeout, "max_retries": 0}
        if extra_headers:
            options["headers"] = dict(extra_headers)
        if extra_query:
            options["params"] = dict(extra_query)
        content = {**body, **(extra_body or {})}
        if body.get("stream"):
            stream = await self._inner.post(
                _PATH, body=content, options=options, cast_to=object, stream=True, stream_cls=AsyncStream[object]
            )
            return RawStream(stream)
        return RawAnswer(await self._inner.post(_PATH, body=content, options=options, cast_to=httpx.Response))


class RawStream:
    """A stream with the headers that it came with."""

    def __init__(self, stream: AsyncStream[object]) -> None:
        self._stream = stream
        self.headers = stream.response.headers

    def parse(self) -> Chunks:
        """The chunks."""
        return Chunks(self._stream)


class Chunks:
    """The SDK's stream of plain JSON, each piece as the chunk that LiteLLM reads.

    Attributes:
        response: The HTTP response, for who wants to see what came instead of a stream.
    """

    def __init__(self, stream: AsyncStream[object]) -> None:
        self._stream = stream
        self.response = stream.response

    def __aiter__(self) -> Chunks:
        return self

    async def __anext__(self) -> Any:
        return chunk_of(await self._stream.__anext__())

    async def close(self) -> None:
        """End the connection."""
        await self._stream.close()


class RawAnswer:
    """A plain answer with the headers that it came with."""

    def __init__(self, response: httpx.Response) -> None:
        self._response = response
        self.headers = response.headers

    def parse(self) -> Any:
        """The body: `Body` for a JSON object; text or another value as it is, which LiteLLM then refuses."""
        kind = self.headers.get("content-type", "").partition(";")[0].strip()
        if kind != "application/json" and not kind.endswith("+json"):
            return self._response.text
        body = self._response.json()
        return Body(body) if isinstance(body, dict) else body


class Body:
    """A chat completion as plain JSON, with the fields that the SDK's types have and a server may leave out."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self._fields = fields

    def model_dump(self, **_: Any) -> dict[str, Any]:
        """The completion as LiteLLM reads it."""
        completed: dict[str, Any] = _whole(self._fields, ChatCompletion)
        if isinstance(completed["choices"], list):
            completed["choices"] = [
                _whole(choice, Choice, message=ChatCompletionMessage) for choice in completed["choices"]
            ]
        completed["usage"] = _whole(
            completed["usage"],
            CompletionUsage,
            prompt_tokens_details=PromptTokensDetails,
            completion_tokens_details=CompletionTokensDetails,
        )
        return completed


def chunk_of(data: Any) -> Any:
    """The SDK's own chunk of one piece of a stream, made without looking at types where there is only text to type."""
    if not isinstance(data, dict):
        return data
    choices = data.get("choices")
    if data.get("usage") is not None or not isinstance(choices, list) or not all(map(_is_text, choices)):
        return ChatCompletionChunk.construct(**data)
    made = [_untyped(ChunkChoice, {**c, "delta": _untyped(ChoiceDelta, c["delta"])}) for c in choices]
    return _untyped(ChatCompletionChunk, {**data, "choices": made})


def _is_text(choice: Any) -> bool:
    if not isinstance(choice, dict) or choice.get("logprobs") is not None:
        return False
    delta = choice.get("delta")
    return isinstance(delta, dict) and all(value is None or isinstance(value, str) for value in delta.values())


def _untyped(kind: type[BaseModel], values: dict[str, Any]) -> Any:
    # The SDK's own `model_construct` is the slow one; pydantic's is what it overrides.
    return _CONSTRUCT(kind, set(values), **{**_ABSENT[kind], **values})


_CONSTRUCT: Any = BaseModel.model_construct.__func__  # type: ignore[attr-defined]  # of a class method


def _whole(value: Any, kind: type[BaseModel], **parts: type[BaseModel]) -> Any:
    """A JSON object with all fields of its type, and so are its parts; anything else as it is."""
    if not isinstance(value, dict):
        return value
    completed = {**_ABSENT[kind], **value}
    for name, part in parts.items():
        completed[name] = _whole(completed[name], part)
    return completed


_ABSENT: dict[type[BaseModel], dict[str, Any]] = {
    kind: dict.fromkeys(kind.model_fields)
    for kind in (
        ChatCompletion,
        Choice,
        ChatCompletionMessage,
        CompletionUsage,
        PromptTokensDetails,
        CompletionTokensDetails,
        ChatCompletionChunk,
        ChunkChoice,
        ChoiceDelta,
    )
}
