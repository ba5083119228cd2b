"""The POST itself, through the aiohttp session of LiteLLM's transport, and its failures as the SDK's errors."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from typing import Any

import aiohttp
import httpx
from openai import APIConnectionError, APITimeoutError, AsyncOpenAI

from composite_llm.backend import compat
from composite_llm.backend.fast_openai.route import Route
from composite_llm.backend.fast_openai.unusual import Unusual

AiohttpResponseStream = compat.RESPONSE_STREAM.required()
map_aiohttp_exceptions = compat.MAP_EXCEPTIONS.required()

_log = logging.getLogger("httpx")


class Received:
    """An answer.

    Attributes:
        headers: By their names in lower case, several of one name joined.
        raw: aiohttp's response.
        request: What was asked, without its body.
    """

    def __init__(self, raw: aiohttp.ClientResponse, request: httpx.Request) -> None:
        self.raw = raw
        self.request = request
        self.headers = _plain_headers(raw)
        self.is_success = 200 <= raw.status < 300
        self._body: bytes | None = None
        self._whole: httpx.Response | None = None

    async def read(self) -> None:
        """Receive the body.

        Raises:
            httpx.RequestError: It broke off, or its encoding is not what its head says.
        """
        try:
            self._body = await self.raw.content.read()
        except Exception:
            # It says the same again; the words for it are LiteLLM's.
            async for _ in AiohttpResponseStream(self.raw):
                pass
            raise
        finally:
            # After its end the connection is in the pool again, and this closes nothing.
            self.raw.close()
        if "content-encoding" in self.headers:
            self.as_httpx()

    def content(self) -> bytes:
        """The body that was read, decoded."""
        assert self._body is not None
        return self._body if self._whole is None else self._whole.content

    def as_httpx(self) -> httpx.Response:
        """The same as the SDK knows it; a stream, if the body was not read."""
        if self._whole is None:
            of: dict[str, Any] = {"headers": self.raw.headers, "request": self.request}
            if self._body is not None:
                self._whole = httpx.Response(self.raw.status, content=self._body, **of)
            else:
                kind = httpx.Response if "content-encoding" in self.headers else _AsItComes
                self._whole = kind(self.raw.status, stream=AiohttpResponseStream(self.raw), **of)
        return self._whole


class _AsItComes(httpx.Response):
    """A stream of bytes that need no decoding."""

    async def aiter_bytes(self, chunk_size: int | None = None) -> AsyncGenerator[bytes, None]:
        """Each piece that was received; all at once, if it was read before."""
        if self.is_stream_consumed:
            yield self.content
            return
        self.is_stream_consumed = True
        async for piece in self.stream:  # type: ignore[union-attr]  # an async one
            yield piece
        await self.aclose()


def _plain_headers(raw: aiohttp.ClientResponse) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in raw.headers.items():
        # httpx takes no others.
        value.encode("ascii")
        key = name.lower()
        found[key] = f"{found[key]}, {value}" if key in found else value
    return found


async def exchange(client: AsyncOpenAI, route: Route, content: bytes, *, stream: bool) -> Received:
    """Send a request and receive its answer, of a stream the head.

    Raises:
        openai.OpenAIError: As the SDK: for a status other than success, a time limit, a broken connection.
        Unusual: Nothing was sent, or only to hear that another address is to be asked.
    """
    raw: aiohttp.ClientResponse | None = None
    try:
        raw = await _posted(route, content)
        received = Received(raw, route.request)
        _after(route, received)
        if not stream:
            await received.read()
    except BaseException as error:
        if raw is not None:
            raw.close()
        failure = _as_the_sdk_says(error, route, content)
        if failure is error:
            raise
        raise failure from error
    if not received.is_success:
        if stream:
            await received.read()
        raise compat.STATUS_ERROR.read(client)(received.as_httpx()) from None
    return received


async def _posted(route: Route, content: bytes) -> aiohttp.ClientResponse:
    session = route.session()
    proxy = await route.proxy(route.request)
    try:
        with map_aiohttp_exceptions():
            return await session.post(route.url, data=content, headers=_headers(route), proxy=proxy, **route.settings)
    except RuntimeError as error:
        if "Session is closed" in str(error):
            raise Unusual from error
        raise


def _as_the_sdk_says(error: BaseException, route: Route, content: bytes) -> BaseException:
    if isinstance(error, Unusual) or not isinstance(error, Exception):
        return error
    request = httpx.Request("POST", route.request.url, headers=route.headers, content=content)
    if isinstance(error, httpx.TimeoutException):
        return APITimeoutError(request=request)
    return APIConnectionError(request=request) if isinstance(error, _connection_errors()) else error


def _connection_errors() -> tuple[type[Exception], ...]:
    """What the SDK takes for a broken connection: before version 3 everything, since then what httpx says of one."""
    named = compat.SDK_CONNECTION_ERRORS.get()
    return named() if named is not None else (Exception,)


def _headers(route: Route) -> Any:
    """The request's, with the cookies that the HTTP client has from answers before."""
    if not route.http.cookies:
        return route.headers
    made = route.headers.copy()
    cookies = route.http.build_request("POST", route.request.url).headers.get("cookie")
    if cookies is not None:
        made["cookie"] = cookies
    return made


def _after(route: Route, received: Received) -> None:
    """What httpx does with the head of an answer."""
    status = received.raw.status
    if _log.isEnabledFor(logging.INFO):
        phrase = httpx.codes.get_reason_phrase(status)
        _log.info('HTTP Request: %s %s "%s %d %s"', "POST", route.request.url, "HTTP/1.1", status, phrase)
    if "set-cookie" in received.headers:
        head = httpx.Response(status, headers=received.raw.headers, request=route.request)
        route.http.cookies.extract_cookies(head)
    if 300 <= status < 400 and "location" in received.headers:
        # httpx goes there.
        raise Unusual
