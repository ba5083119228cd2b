"""The endpoints that models answer: from a request to its answer or its fault, in whatever format it came."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from typing import Any

from aiohttp import web

from fake_server.book import Turn
from fake_server.completion import Completion, compose
from fake_server.errors import RequestError
from fake_server.faults import fault, retry_header
from fake_server.formats.format import Chunk, ErrorFacts, Format
from fake_server.ledger import Record
from fake_server.recorded import Endpoint
from fake_server.request import ChatRequest
from fake_server.responses import bytes_response, json_response, merged_headers
from fake_server.rules import Refusal
from fake_server.scenario import Scenario
from fake_server.state import State
from fake_server.usage import partial_usage
from fake_server.wire import Wire, close_connection, forever
from fake_server.wire_json import json_bytes, raw_bytes

_CUTS_STREAM = frozenset({"body", "mid_stream"})
_MALFORMED_CHUNK = 1


def answering(form: Format) -> Endpoint:
    """Return the endpoint that answers requests in a format as the scenario of their model says."""

    async def answer(state: State, http: web.Request, record: Record) -> web.StreamResponse:
        request = form.read(http, await _read_json(http, record))
        record.model = request.model
        record.stream = request.stream
        state.ledger.models[request.model] = None
        turn = state.book.turn(request, state.signatures)
        return await _Answer(http, request, turn, form.served_by(turn.scenario), record).send()

    return answer


async def _read_json(http: web.Request, record: Record) -> object:
    raw = await http.read()
    try:
        record.body = json.loads(raw)
    except (ValueError, RecursionError):
        record.body = raw.decode("utf-8", "replace")
        raise RequestError(400, "We could not parse the JSON body of your request.") from None
    return record.body


class _Answer:
    """One request on its way to its response."""

    def __init__(self, http: web.Request, request: ChatRequest, turn: Turn, form: Format, record: Record) -> None:
        self._http = http
        self._request = request
        self._turn = turn
        self._scenario = turn.scenario
        self._form = form
        self._record = record

    async def send(self) -> web.StreamResponse:
        scenario, refusal = self._scenario, self._turn.refusal
        # Before any pause, so that counted scenarios follow the order of arrival.
        fails = refusal is not None or self._turn.fails()
        in_stream = self._request.stream and scenario.error_after_chunks is not None
        completion = None if fails and not in_stream else compose(self._request, self._turn, self._record.id)
        if scenario.latency_s:
            await asyncio.sleep(scenario.latency_s)
        if scenario.hang:
            await forever()
        if scenario.drop == "before":
            close_connection(self._http)
            return web.Response()
        if refusal is not None:
            return self._refused(refusal)
        if completion is None:
            return self._failed()
        if self._request.stream and not _plain_only(scenario):
            return await self._stream(completion, fails=fails)
        return await self._plain(completion)

    def _refused(self, refusal: Refusal) -> web.Response:
        native = self._request.format != "openai" or refusal.body is None
        body = self._form.error(ErrorFacts(refusal.status, refusal.message)) if native else refusal.body
        return json_response(body, status=refusal.status, headers=self._headers())

    def _failed(self) -> web.Response:
        facts = fault(self._scenario, self._request, self._form)
        headers = {**self._headers(), **retry_header(facts)}
        spec = self._scenario.error
        if spec is not None and spec.body is not None:
            return bytes_response(raw_bytes(spec.body), status=facts.status, headers=headers)
        return json_response(self._form.error(facts), status=facts.status, headers=headers)

    async def _plain(self, completion: Completion) -> web.StreamResponse:
        scenario = self._scenario
        if scenario.time_per_token_s:
            await asyncio.sleep(scenario.time_per_token_s * completion.usage["completion_tokens"])
        self._record.usage = completion.usage
        response = bytes_response(self._plain_bytes(completion), headers=self._headers())
        if scenario.drop is None and not scenario.split_utf8:
            return response
        return await self._plain_in_pieces(response)

    def _plain_bytes(self, completion: Completion) -> bytes:
        if self._scenario.raw_body is not None:
            return raw_bytes(self._scenario.raw_body)
        data = json_bytes(self._form.body(completion, self._scenario))
        return _cut(data) if self._scenario.malformed_json else data

    async def _plain_in_pieces(self, whole: web.Response) -> web.StreamResponse:
        scenario, body = self._scenario, whole.body
        assert isinstance(body, bytes)
        response = web.StreamResponse(headers=whole.headers)
        response.content_length = len(body)
        wire = await Wire.open(self._http, response, self._record, split=scenario.split_utf8)
        if scenario.drop is None:
            await wire.write(body)
            return await wire.end()
        if scenario.drop != "headers":
            await wire.write(body[: len(body) // 2])
        return await wire.cut()

    async def _stream(self, completion: Completion, *, fails: bool) -> web.StreamResponse:
        scenario, record = self._scenario, self._record
        headers = merged_headers(self._form.stream_type, self._headers())
        headers.setdefault("Cache-Control", "no-cache")
        record.usage = partial_usage(completion.usage, 0)
        response = web.StreamResponse(headers=headers)
        wire = await Wire.open(self._http, response, record, split=scenario.split_utf8)
        if scenario.drop == "headers":
            return await wire.cut()
        await wire.pause(scenario.first_token_s)
        ended = await self._write_chunks(wire, completion, fails=fails)
        if ended == "dropped":
            return await wire.cut()
        if ended == "whole":
            await wire.write(self._form.end)
            record.usage = completion.usage
        return await wire.end()

    async def _write_chunks(self, wire: Wire, completion: Completion, *, fails: bool) -> str:
        """Write the chunks until the scenario ends them: whole, failed or dropped."""
        scenario, tokens = self._scenario, 0
        for number, (chunk, data) in enumerate(self._encoded(completion)):
            if fails and number == scenario.error_after_chunks:
                break
            if number == scenario.hang_after_chunks:
                await wire.flush()
                await forever()
            if number == scenario.drop_after_chunks and scenario.drop in _CUTS_STREAM:
                return "dropped"
            if tokens:
                await wire.pause(scenario.time_per_token_s * chunk.tokens)
            await wire.write(data, chunks=1)
            tokens += chunk.tokens
            self._record.usage = partial_usage(completion.usage, tokens)
        if fails:
            payload = self._form.stream_error(fault(scenario, self._request, self._form), completion)
            await wire.write(self._form.frame(payload, json_bytes(payload)), chunks=1)
            return "failed"
        return "whole" if scenario.drop is None else "dropped"

    def _encoded(self, completion: Completion) -> Iterator[tuple[Chunk, bytes]]:
        scenario, form = self._scenario, self._form
        if scenario.raw_events is not None:
            for event in scenario.raw_events:
                yield Chunk({}), form.frame(_parsed(event), raw_bytes(event))
            return
        for number, chunk in enumerate(form.chunks(self._request, completion, scenario)):
            data = json_bytes(chunk.payload)
            if scenario.malformed_json and number == _MALFORMED_CHUNK:
                data = _cut(data)
            framed = form.frame(chunk.payload, data)
            yield chunk, form.keepalive + framed if scenario.comment_keepalive else framed

    def _headers(self) -> Mapping[str, str]:
        own = {"x-request-id": f"req-{self._record.id:08d}"}
        return {**own, **self._scenario.headers} if self._scenario.headers else own


def _plain_only(scenario: Scenario) -> bool:
    return scenario.ignore_stream or (scenario.raw_body is not None and scenario.raw_events is None)


def _cut(data: bytes) -> bytes:
    return data[: len(data) * 2 // 3]


def _parsed(event: str) -> dict[str, Any]:
    try:
        value = json.loads(event)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
