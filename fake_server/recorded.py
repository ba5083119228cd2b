"""What surrounds every recorded endpoint: the ledger, the key, refusals and clients that go away."""

import asyncio
import hmac
from collections.abc import Awaitable, Callable

from aiohttp import web

from fake_server.errors import RequestError
from fake_server.ledger import Record
from fake_server.responses import json_response
from fake_server.state import State

Endpoint = Callable[[State, web.Request, Record], Awaitable[web.StreamResponse]]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def recorded(state: State, endpoint: Endpoint) -> Handler:
    """Return the handler of an endpoint whose requests go into the ledger."""
    ledger = state.ledger

    async def handle(http: web.Request) -> web.StreamResponse:
        record = ledger.arrive(http.method, http.path, http.headers)
        try:
            return await _answer(state, endpoint, http, record)
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


async def _answer(state: State, endpoint: Endpoint, http: web.Request, record: Record) -> web.StreamResponse:
    try:
        _check_key(state, http)
        response = await endpoint(state, http, record)
    except RequestError as error:
        response = json_response(error.body(), status=error.status)
    except RecursionError:
        # Just shallow enough to be read, too deep to be written: neither here nor in the ledger.
        record.body = None
        response = json_response(RequestError(400, "The body is nested too deeply.").body(), status=400)
    except web.HTTPRequestEntityTooLarge:
        response = json_response(RequestError(413, "The body is too large.").body(), status=413)
    # A dropped connection has no protocol transport any more, and nothing was answered that is not recorded already.
    if record.status is None and http.transport is not None:
        record.status = response.status
    return response


def _check_key(state: State, http: web.Request) -> None:
    if state.api_key is None:
        return
    given = http.headers.get("Authorization", "")
    expected = f"Bearer {state.api_key}"
    if not hmac.compare_digest(given.encode("utf-8", "surrogateescape"), expected.encode()):
        message = "Incorrect API key provided." if given else "You didn't provide an API key."
        raise RequestError(401, message)


async def no_such_path(_state: State, http: web.Request, _record: Record) -> web.StreamResponse:
    """Refuse a path that does not exist."""
    message = f"Invalid URL ({http.method} {http.path})"
    raise RequestError(404, message, code="unknown_url")


async def no_such_method(_state: State, http: web.Request, _record: Record) -> web.StreamResponse:
    """Refuse a method that the path does not have."""
    message = f"Not allowed to {http.method} on {http.path}."
    raise RequestError(405, message, code="method_not_allowed")
