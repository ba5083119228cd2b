"""What LiteLLM asks of an `AsyncOpenAI`, for one call, on top of the one that it chose.

LiteLLM before 1.110 calls `chat.completions.with_raw_response.create`, later ones `post`.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping
from functools import cache
from types import FunctionType
from typing import Any

import openai
from openai import AsyncOpenAI

from composite_llm.backend import compat
from composite_llm.backend.fast_openai.answers import RawAnswer
from composite_llm.backend.fast_openai.exchange import exchange
from composite_llm.backend.fast_openai.route import json_bytes, route_for
from composite_llm.backend.fast_openai.streams import RawStream
from composite_llm.backend.fast_openai.unusual import Unusual

_PATH = "/chat/completions"
_OPTIONS = frozenset({"headers", "params", "extra_json", "timeout", "security"})
_log = logging.getLogger("openai")


def client_for(inner: Any, *, once: bool) -> Client | None:
    """A client that does what `inner` does with less; None where that one has to do it itself.

    That is wherever it is not a plain `AsyncOpenAI`, finds its key anew for each call, repeats failed calls, has been
    altered by somebody who wants to see its calls, or writes down what it does.

    Args:
        inner: The SDK's client.
        once: The caller asked for a single try. LiteLLM forgets that with some providers.
    """
    if type(inner) is not AsyncOpenAI or _log.isEnabledFor(logging.DEBUG) or (inner.max_retries and not once):
        return None
    if any(getattr(inner, name, None) is not None for name in compat.OTHER_CREDENTIALS):
        return None
    if not _as_published(_completions().create, AsyncOpenAI.post, AsyncOpenAI.request):
        return None
    return Client(inner)


@cache
def _completions() -> Any:
    # The SDK takes its time to load it, and loads it for its first call.
    from openai.resources.chat.completions import AsyncCompletions

    return AsyncCompletions


@cache
def _as_published(*methods: Any) -> bool:
    """Whether these are the SDK's own, not those of a tool that watches it."""
    home = openai.__file__.removesuffix("__init__.py")
    return all(isinstance(one, FunctionType) and one.__code__.co_filename.startswith(home) for one in methods)


@cache
def _known_parameters() -> frozenset[str]:
    return frozenset(inspect.signature(_completions().create).parameters)


class Client:
    """Sends one chat completion.

    Args:
        inner: The client that LiteLLM made for the endpoint.
    """

    def __init__(self, inner: AsyncOpenAI) -> None:
        self._inner = inner

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
        """As the SDK's own method, by which LiteLLM before 1.110 sends."""
        if not body.keys() <= _known_parameters():
            raise Unusual
        return await self._sent(
            _PATH,
            body,
            extra_body,
            {**compat.RAW_RESPONSE_HEADER, **(extra_headers or {})},
            extra_query,
            timeout,
            {"bearer_auth": True},
        )

    async def post(
        self, path: str, *, body: Mapping[str, Any], options: Mapping[str, Any], **_how_to_read_it: Any
    ) -> RawAnswer | RawStream:
        """As the SDK's own method, by which LiteLLM from 1.110 on sends."""
        if not options.keys() <= _OPTIONS or "timeout" not in options:
            raise Unusual
        headers = options.get("headers") or {}
        return await self._sent(
            path,
            body,
            options.get("extra_json"),
            headers,
            options.get("params"),
            options["timeout"],
            options.get("security"),
        )

    async def _sent(
        self,
        path: str,
        body: Mapping[str, Any],
        extra_body: Mapping[str, Any] | None,
        headers: Mapping[str, Any],
        query: Mapping[str, Any] | None,
        timeout: Any,
        security: Mapping[str, bool] | None,
    ) -> RawAnswer | RawStream:
        route = route_for(self._inner, path, headers, query, timeout, security)
        content = json_bytes({**body, **extra_body} if extra_body else body)
        stream = bool(body.get("stream"))
        received = await exchange(self._inner, route, content, stream=stream)
        return RawStream(self._inner, received) if stream else RawAnswer(self._inner, received)
