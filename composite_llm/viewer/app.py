"""The viewer's server: a list and a page of each run, read-only, for this machine alone."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable

from aiohttp import hdrs, web

from composite_llm.model.trace import Trace
from composite_llm.observe.records import RunRecord
from composite_llm.observe.store import StoreUnavailable, TraceStore, UnknownRun
from composite_llm.viewer.hosts import names_this_machine
from composite_llm.viewer.pages import error_page, list_page, run_page
from composite_llm.viewer.run_query import present, run_query_of

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_HEADERS = {
    # The page's own policy stands in the page; this part of it counts in a header only.
    "Content-Security-Policy": "frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    # What models wrote is nothing for a cache on the disk.
    "Cache-Control": "no-store",
}


class Viewer:
    """Answers from a store that other processes write into.

    Args:
        store: The store; it need not be there yet.
    """

    def __init__(self, store: TraceStore) -> None:
        self._store = store

    async def runs(self, request: web.Request) -> web.Response:
        """The list."""
        run_query = run_query_of(request.query)
        records = await asyncio.to_thread(lambda: self._store.runs(**run_query.query(present())))
        return _answer(request, list_page(run_query, records))

    async def run(self, request: web.Request) -> web.Response:
        """One run; the beginning of its id is enough."""
        run, trace = await asyncio.to_thread(self._run_and_trace, request.match_info["id"])
        return _answer(request, run_page(run, trace))

    def _run_and_trace(self, run_id: str) -> tuple[RunRecord, Trace]:
        run = self._store.run(run_id)
        return run, self._store.trace(run.id)


def viewer_app(store: TraceStore) -> web.Application:
    """The application; whoever starts it binds it to a loopback address."""
    viewer = Viewer(store)
    app = web.Application(middlewares=[_guarded])
    # With each GET goes its HEAD; there is nothing to write.
    app.add_routes([web.get("/", viewer.runs), web.get("/runs/{id}", viewer.run)])
    return app


@web.middleware
async def _guarded(request: web.Request, handler: _Handler) -> web.StreamResponse:
    if not names_this_machine(request.headers.get(hdrs.HOST, "")):
        return _with_headers(
            web.Response(status=403, text="This server only answers requests that are addressed to this machine.\n")
        )
    try:
        answer = await handler(request)
    except UnknownRun as error:
        answer = _error(404, "No such run", str(error))
    except StoreUnavailable as error:
        answer = _error(503, "No runs to show", str(error), live=True)
    except web.HTTPException as error:
        answer = _error(error.status, error.reason, f"{request.method} {request.path}")
        if hdrs.ALLOW in error.headers:
            answer.headers[hdrs.ALLOW] = error.headers[hdrs.ALLOW]
    return _with_headers(answer)


def _answer(request: web.Request, page: str) -> web.Response:
    body = page.encode()
    tag = hashlib.sha256(body).hexdigest()[:32]
    answer = web.Response(body=body, content_type="text/html", charset="utf-8")
    known = request.if_none_match or ()
    if any(header.value == tag for header in known):
        answer = web.Response(status=304)
    answer.etag = tag
    return answer


def _error(status: int, headline: str, sentence: str, *, live: bool = False) -> web.Response:
    page = error_page(headline, sentence, live=live)
    return web.Response(status=status, text=page, content_type="text/html", charset="utf-8")


def _with_headers(answer: web.StreamResponse) -> web.StreamResponse:
    answer.headers.update(_HEADERS)
    return answer
