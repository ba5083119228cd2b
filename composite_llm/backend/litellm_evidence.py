"""What an exception of a LiteLLM call proves: that a provider was reached, that nothing was sent, or neither."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Literal

import aiohttp
import httpx
import openai

from composite_llm.model.errors import CompositeError

Proof = Literal["reached", "answered", "unsendable", "no_key", "internal"]
"""`reached`: a response, or a transport error on the way to one. `answered`: a response that could not be read.
`unsendable`: the request could not be put into the provider's form. `no_key`: there is none to ask with. `internal`: a
mistake of LiteLLM's, or of the set-up.
"""

_TRANSPORT: tuple[type[BaseException], ...] = (
    openai.APIStatusError,
    openai.APITimeoutError,
    httpx.HTTPStatusError,
    httpx.TransportError,
    httpx.StreamError,
    aiohttp.ClientError,
    ConnectionError,
    TimeoutError,
    socket.gaierror,
    ssl.SSLError,
)
_TRANSPORT_PACKAGES = frozenset({"botocore", "google", "grpc", "requests", "urllib3"})
"""Clients that only some providers need: any exception of theirs."""

_TRANSPORT_CODE = ("/httpx/", "/httpcore/", "/aiohttp/", "/anyio/", "/asyncio/", "/ssl.py")
"""Where a plain `RuntimeError` or `OSError` tells of a connection too: a pool that was closed meanwhile, for one."""

_NO_HTTP_FORM = (httpx.LocalProtocolError,)
"""A header or a body that HTTP has no form for."""

_NO_ADDRESS = (httpx.InvalidURL, httpx.UnsupportedProtocol, aiohttp.InvalidURL)
"""An endpoint that is no address: whoever set it up made a mistake, not who asks."""

_OF_THE_DATA: tuple[type[BaseException], ...] = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What Python raises when data has not the form that code expects. A bare `Exception` is what LiteLLM raises for it."""

_WRITING = (
    "/json/encoder.py",
    "/openai/_utils/_json.py",
    "/httpx/_content.py",
    "/httpx/_models.py",
    "aiohttp/_http_writer.pyx",
    "/aiohttp/http_writer.py",
    "/aiohttp/client_reqrep.py",
)
"""Where a request's headers and body are written."""

_FETCHING = "image_handling.py"
"""Where LiteLLM fetches what a message points to: the servers that fail there are not the provider's."""


def proof_of(error: BaseException, *, answered: bool = False) -> Proof | None:
    """What the exception proves; None where there is LiteLLM's own word alone, or ours.

    Args:
        error: What was raised.
        answered: A response, or its beginning, had come already.
    """
    links = list(chain(error))
    causes = [link for link in links if not _is_litellms(link)]
    if not answered and _says_that_no_key_is_set(links, causes):
        return "no_key"
    if not causes or any(isinstance(link, CompositeError) for link in causes):
        return None
    if any(_passes(link, _FETCHING) for link in links):
        return "unsendable"
    if any(map(_is_lack_of_a_key, causes)):
        return "no_key"
    if any(map(_is_unwritable, causes)):
        return "unsendable"
    if any(isinstance(link, _NO_ADDRESS) for link in causes):
        return "internal"
    if any(map(_is_transport, causes)) or error_event(error) is not None:
        return "reached"
    if answered or any(map(_holds_response, causes)):
        return "answered"
    return "unsendable" if all(map(_is_of_the_data, causes)) else "internal"


def chain(error: BaseException) -> Iterator[BaseException]:
    """The exception and all that it came from, LiteLLM's `original_exception` included."""
    seen: list[BaseException] = []
    waiting: list[Any] = [error]
    while waiting:
        link = waiting.pop(0)
        if isinstance(link, BaseException) and not any(link is known for known in seen):
            seen.append(link)
            yield link
            waiting += [link.__cause__, link.__context__, getattr(link, "original_exception", None)]


def error_event(error: BaseException) -> Any:
    """What a provider said was wrong within a stream that it had begun (`data: {"error": …}`); None where it said nothing."""
    # The SDK's class for it; those for a status and for a connection are subclasses.
    return next((link.body for link in chain(error) if type(link) is openai.APIError), None)


def _is_litellms(error: BaseException) -> bool:
    return type(error).__module__.startswith("litellm.")


def _is_lack_of_a_key(error: BaseException) -> bool:
    # The clients' own refusal to send anything without one.
    name, module = type(error).__name__, type(error).__module__
    return (type(error) is openai.OpenAIError and "api_key" in str(error)) or (
        module.startswith(("botocore.", "google.auth.")) and "Credentials" in name
    )


def _says_that_no_key_is_set(links: list[BaseException], causes: list[BaseException]) -> bool:
    # LiteLLM's own refusal; a provider's has a response behind it.
    if any(map(_is_transport, causes)) or any(map(_holds_response, links)):
        return False
    return any(_NO_KEY.search(str(link)) for link in links)


# "Missing Anthropic API Key - …", "Missing Gemini API key. Set the …", "FIREWORKS_API_KEY is not set".
_NO_KEY = re.compile(
    r"\bmissing [\w.]* ?api[ _]key\b|\bno key is set\b|\w+_API_KEY\b[^\n]{0,20} not set\b", re.IGNORECASE
)


def _is_unwritable(error: BaseException) -> bool:
    return isinstance(error, _NO_HTTP_FORM) or (
        isinstance(error, _OF_THE_DATA) and _raised_in(error).endswith(_WRITING)
    )


def _is_transport(error: BaseException) -> bool:
    if isinstance(error, openai.APIConnectionError):
        # The SDK makes one of whatever keeps it from sending; what that was is its cause.
        return error.__cause__ is None
    package = type(error).__module__.partition(".")[0]
    if isinstance(error, _TRANSPORT) or package in _TRANSPORT_PACKAGES:
        return type(error).__name__ != "ParamValidationError"
    place = _raised_in(error)
    return isinstance(error, RuntimeError | OSError) and any(code in place for code in _TRANSPORT_CODE)


def _is_of_the_data(error: BaseException) -> bool:
    return isinstance(error, (*_OF_THE_DATA, openai.OpenAIError)) or type(error) is Exception


def _steps(error: BaseException) -> Iterator[TracebackType]:
    step = error.__traceback__
    while step is not None:
        yield step
        step = step.tb_next


def _raised_in(error: BaseException) -> str:
    """The file in which it was raised."""
    *_, file = ["", *(step.tb_frame.f_code.co_filename for step in _steps(error))]
    return file.replace("\\", "/")


def _passes(error: BaseException, file: str) -> bool:
    return any(step.tb_frame.f_code.co_filename.endswith(file) for step in _steps(error))


def _holds_response(error: BaseException) -> bool:
    """Whether a function that it came through had a response in hand.

    LiteLLM raises what it likes when it reads a response: it need not be a link of the chain.
    """
    return any(_is_response(value) for step in _steps(error) for value in list(step.tb_frame.f_locals.values()))


def _is_response(value: Any) -> bool:
    inner = [vars(value).get(name) for name in _WRAPPED] if hasattr(value, "__dict__") else []
    return any(isinstance(candidate, httpx.Response | aiohttp.ClientResponse) for candidate in (value, *inner))


_WRAPPED = ("_response", "http_response")
"""Where the SDK's raw responses, and ours, keep the response itself."""
