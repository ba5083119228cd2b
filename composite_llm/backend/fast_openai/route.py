"""Where the SDK would send a chat completion, with which headers and time limits: what it builds itself, kept."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import aiohttp
import httpx
from multidict import CIMultiDict
from openai import AsyncOpenAI
from yarl import URL

from composite_llm.backend import compat
from composite_llm.backend.fast_openai.unusual import Unusual

LiteLLMAiohttpTransport = compat.TRANSPORT.required()
FinalRequestOptions = compat.REQUEST_OPTIONS.required()

_KEPT_PER_CLIENT = 32


@dataclass(frozen=True, slots=True)
class Route:
    """What is the same for all calls of one client with the same extras.

    Attributes:
        request: The request as the SDK builds it, without a body.
        http: The SDK's HTTP client.
        session: Finds the aiohttp session of LiteLLM's transport.
        proxy: Finds the proxy that the environment names for the request.
        url: Of the request.
        headers: Of the request, without its length.
        settings: Of aiohttp: time limits, TLS.
    """

    request: httpx.Request
    http: httpx.AsyncClient
    session: Callable[[], aiohttp.ClientSession]
    proxy: Callable[[httpx.Request], Awaitable[str | None]]
    url: URL
    headers: CIMultiDict[str]
    settings: Mapping[str, Any]


_kept: WeakKeyDictionary[AsyncOpenAI, dict[Any, Route]] = WeakKeyDictionary()


def route_for(
    client: AsyncOpenAI,
    path: str,
    headers: Mapping[str, Any],
    query: Mapping[str, Any] | None,
    timeout: float | httpx.Timeout | None,
    security: Mapping[str, bool] | None,
) -> Route:
    """The way of a call.

    Args:
        client: The SDK's.
        path: Of the endpoint, below the client's base address.
        headers: Beside the client's own.
        query: Beside the client's own.
        timeout: Seconds.
        security: Which of the client's credentials the SDK is to send.

    Raises:
        Unusual: Something on it is not as LiteLLM makes it.
    """
    try:
        limit = tuple(timeout.as_dict().values()) if isinstance(timeout, httpx.Timeout) else timeout
        key = (
            client.api_key,
            client.organization,
            client.project,
            path,
            limit,
            *headers.items(),
            *(query or {}).items(),
        )
        known = _kept.setdefault(client, {})
        route = known.get(key)
    except TypeError:
        # A header or a query that cannot be a key.
        return _checked(_built(client, path, headers, query, timeout, security))
    if route is None:
        route = _built(client, path, headers, query, timeout, security)
        if len(known) >= _KEPT_PER_CLIENT:
            known.clear()
        known[key] = route
    return _checked(route)


def _built(
    client: AsyncOpenAI,
    path: str,
    headers: Mapping[str, Any],
    query: Mapping[str, Any] | None,
    timeout: Any,
    security: Mapping[str, bool] | None,
) -> Route:
    try:
        options: dict[str, Any] = {"headers": headers, "timeout": timeout}
        if query:
            options["params"] = query
        if security and "security" in FinalRequestOptions.model_fields:
            options["security"] = security
        if compat.IDEMPOTENCY.read(client) is not None or client.custom_auth is not None:
            raise Unusual
        request: Any = compat.BUILD_REQUEST.read(client)(
            FinalRequestOptions.construct(method="post", url=path, json_data={}, **options)
        )
        http: Any = compat.HTTP_CLIENT.read(client)
        transport: Any = compat.HTTPX_TRANSPORT.read(http)(request.url)
        route = Route(
            request,
            http,
            compat.TRANSPORT_SESSION.read(transport),
            compat.TRANSPORT_PROXY.read(transport),
            URL(str(request.url), encoded=True),
            _without_length(request.headers),
            _settings(request, compat.TRANSPORT_TLS.read(transport)),
        )
    except Unusual:
        raise
    except Exception as error:
        # What cannot be built here may be an error of the caller's, which LiteLLM words.
        raise Unusual from error
    plain = type(transport) is LiteLLMAiohttpTransport and route.headers.get("content-type") == "application/json"
    if not plain or type(http) is not httpx.AsyncClient or http.auth is not None or request.url.userinfo:
        raise Unusual
    return route


def _without_length(headers: httpx.Headers) -> CIMultiDict[str]:
    made = CIMultiDict(headers)
    made.popall("content-length", None)
    return made


def _settings(request: httpx.Request, ssl_verify: Any) -> dict[str, Any]:
    """As LiteLLM's transport passes them to aiohttp."""
    limits = request.extensions["timeout"]
    timeout = aiohttp.ClientTimeout(
        sock_connect=limits.get("connect"), sock_read=limits.get("read"), connect=limits.get("pool")
    )
    return {
        "allow_redirects": False,
        "auto_decompress": False,
        "timeout": timeout,
        "server_hostname": request.extensions.get("sni_hostname"),
        **({} if ssl_verify is None else {"ssl": ssl_verify}),
    }


def _checked(route: Route) -> Route:
    """The route, if the HTTP client is still as LiteLLM made it."""
    hooks = route.http.event_hooks
    if route.http.is_closed or hooks["request"] or hooks["response"]:
        raise Unusual
    return route


def json_bytes(body: Mapping[str, Any]) -> bytes:
    """The body as the SDK writes it.

    Raises:
        Unusual: It cannot be written; LiteLLM has words for that.
    """
    try:
        return _dumps(body)
    except Exception as error:
        raise Unusual from error


def _httpx_dumps(body: Any) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


# The SDK's own knows dates and pydantic's models; older ones leave it to httpx.
_dumps: Callable[[Any], bytes] = compat.SDK_JSON.get() or _httpx_dumps
