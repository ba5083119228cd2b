"""What surrounds every recorded endpoint: the ledger, the key, refusals and clients that go away."""

import asyncio
import hmac
from collections.abc import Awaitable, Callable

from aiohttp import web

from fake_server.errors import RequestError
from fake_server.formats import OPENAI
from fake_server.formats.format import ErrorFacts, Format
from fake_server.ledger import Record
from fake_server.responses import json_response
from fake_server.state import State

Endpoint = Callable[[State, web.Request, Record], Awaitable[web.StreamResponse]]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def recorded(state: State, endpoint: Endpoint, form: Format = OPENAI) -> Handler:
    """Return the handler of an endpoint whose requests go into the ledger; its refusals are in the given format."""
    ledger = state.ledger

    async def handle(http: web.Request) -> web.StreamResponse:
        record = ledger.arrive(http.method, http.path, http.headers)
        try:
            return await _answer(state, endpoint, form, http, record)
        except asyncio.CancelledError:
            record.disconnected = not state.closing
            raise
        except ConnectionError:
            record.disconnected = True
            # Nobody reads it; aiohttp would log an exception that left the handler.
            return web.Response()
        finally:
            ledger.finish(record)

    return handle


async def _answer(
    state: State, endpoint: Endpoint, form: Format, http: web.Request, record: Record
) -> web.StreamResponse:
    try:
        wrong_key = _wrong_key(state, http, form)
        response = await endpoint(state, http, record) if wrong_key is None else _refusal(form, wrong_key)
    except RequestError as error:
        response = _refusal(form, ErrorFacts(error.status, error.message, code=error.code, param=error.param))
    except RecursionError:
        # Just shallow enough to be read, too deep to be written: neither here nor in the ledger.
        record.body = None
        response = _refusal(form, ErrorFacts(400, "The body is nested too deeply."))
    except web.HTTPRequestEntityTooLarge:
        response = _refusal(form, ErrorFacts(413, "The body is too large."))
    # A dropped connection has no protocol transport any more, and nothing was answered that is not recorded already.
    if record.status is None and http.transport is not None:
        record.status = response.status
    return response


def _refusal(form: Format, facts: ErrorFacts) -> web.StreamResponse:
    return json_response(form.error(facts), status=facts.status)


def _wrong_key(state: State, http: web.Request, form: Format) -> ErrorFacts | None:
    if state.api_key is None:
        return None
    given = form.key(http)
    right = hmac.compare_digest((given or "").encode("utf-8", "surrogateescape"), state.api_key.encode())
    return None if right else form.wrong_key(given)


async def no_such_path(_state: State, http: web.Request, _record: Record) -> web.StreamResponse:
    """Refuse a path that does not exist."""
    message = f"Invalid URL ({http.method} {http.path})"
    raise RequestError(404, message, code="unknown_url")


async def no_such_method(_state: State, http: web.Request, _record: Record) -> web.StreamResponse:
    """Refuse a method that the path does not have."""
    message = f"Not allowed to {http.method} on {http.path}."
    raise RequestError(405, message, code="method_not_allowed")
