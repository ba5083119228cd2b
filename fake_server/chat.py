"""The chat completions endpoint: from a request to its answer or its fault."""

import asyncio
import json
from collections.abc import Iterator, Mapping

from aiohttp import web

from fake_server.book import Turn
from fake_server.completion import Completion, compose
from fake_server.errors import RequestError, error_body
from fake_server.faults import fault
from fake_server.ledger import Record
from fake_server.plain import plain_body
from fake_server.request import ChatRequest, read_request
from fake_server.responses import bytes_response, json_response, merged_headers
from fake_server.rules import Refusal
from fake_server.scenario import Scenario
from fake_server.sse import DONE, Chunk, encode_chunks, make_chunks, raw_chunks
from fake_server.state import State
from fake_server.usage import partial_usage
from fake_server.wire import Wire, close_connection, forever
from fake_server.wire_json import raw_bytes

_CUTS_STREAM = frozenset({"body", "mid_stream"})


async def answer_chat(state: State, http: web.Request, record: Record) -> web.StreamResponse:
    """Answer one request as the scenario of its model says.

    Raises:
        RequestError: when the request is wrong.
    """
    request = read_request(await _read_json(http, record))
    record.model = request.model
    record.stream = request.stream
    state.ledger.models[request.model] = None
    turn = state.book.turn(request, state.signatures)
    scenario = turn.scenario
    # Before any pause, so that counted scenarios follow the order of arrival.
    fails = turn.refusal is not None or turn.fails()
    completion = None if fails else compose(request, turn, record.id)
    if scenario.latency_s:
        await asyncio.sleep(scenario.latency_s)
    if scenario.hang:
        await forever()
    if scenario.drop == "before":
        close_connection(http)
        return web.Response()
    if turn.refusal is not None:
        return _refused(turn.refusal, scenario, record)
    if completion is None:
        return _error(request, scenario, record)
    if request.stream and not _plain_only(scenario):
        return await _stream(http, request, turn, completion, record)
    return await _plain(http, scenario, completion, record)


def _plain_only(scenario: Scenario) -> bool:
    return scenario.ignore_stream or (scenario.raw_body is not None and scenario.raw_events is None)


async def _read_json(http: web.Request, record: Record) -> object:
    raw = await http.read()
    try:
        record.body = json.loads(raw)
    except (ValueError, RecursionError):
        record.body = raw.decode("utf-8", "replace")
        raise RequestError(400, "We could not parse the JSON body of your request.") from None
    return record.body


def _refused(refusal: Refusal, scenario: Scenario, record: Record) -> web.Response:
    body = refusal.body if refusal.body is not None else error_body(refusal.status, refusal.message)
    return json_response(body, status=refusal.status, headers=_ids(record, scenario))


def _error(request: ChatRequest, scenario: Scenario, record: Record) -> web.Response:
    status, body, headers = fault(scenario.error, request)
    headers = {**_ids(record, scenario), **headers}
    if scenario.error is not None and scenario.error.body is not None:
        return bytes_response(raw_bytes(scenario.error.body), status=status, headers=headers)
    return json_response(body, status=status, headers=headers)


async def _plain(http: web.Request, scenario: Scenario, completion: Completion, record: Record) -> web.StreamResponse:
    if scenario.time_per_token_s:
        await asyncio.sleep(scenario.time_per_token_s * completion.usage["completion_tokens"])
    record.usage = completion.usage
    response = bytes_response(plain_body(completion, scenario), headers=_ids(record, scenario))
    if scenario.drop is None and not scenario.split_utf8:
        return response
    return await _plain_in_pieces(http, scenario, response, record)


async def _plain_in_pieces(
    http: web.Request, scenario: Scenario, whole: web.Response, record: Record
) -> web.StreamResponse:
    body = whole.body
    assert isinstance(body, bytes)
    response = web.StreamResponse(headers=whole.headers)
    response.content_length = len(body)
    wire = await Wire.open(http, response, record, split=scenario.split_utf8)
    if scenario.drop is None:
        await wire.write(body)
        return await wire.end()
    if scenario.drop != "headers":
        await wire.write(body[: len(body) // 2])
    return await wire.cut()


async def _stream(
    http: web.Request, request: ChatRequest, turn: Turn, completion: Completion, record: Record
) -> web.StreamResponse:
    scenario = turn.scenario
    headers = merged_headers("text/event-stream; charset=utf-8", _ids(record, scenario))
    headers.setdefault("Cache-Control", "no-cache")
    record.usage = partial_usage(completion.usage, 0)
    response = web.StreamResponse(headers=headers)
    wire = await Wire.open(http, response, record, split=scenario.split_utf8)
    if scenario.drop == "headers":
        return await wire.cut()
    await wire.pause(scenario.first_token_s)
    if not await _write_chunks(wire, request, scenario, completion, record):
        return await wire.cut()
    await wire.write(DONE)
    record.usage = completion.usage
    return await wire.end()


async def _write_chunks(
    wire: Wire, request: ChatRequest, scenario: Scenario, completion: Completion, record: Record
) -> bool:
    """Write all chunks; False when the scenario drops the connection in their midst."""
    tokens = 0
    for number, (chunk, data) in enumerate(_encoded_chunks(request, scenario, completion)):
        if number == scenario.hang_after_chunks:
            await wire.flush()
            await forever()
        if number == scenario.drop_after_chunks and scenario.drop in _CUTS_STREAM:
            return False
        if tokens:
            await wire.pause(scenario.time_per_token_s * chunk.tokens)
        await wire.write(data, chunks=1)
        tokens += chunk.tokens
        record.usage = partial_usage(completion.usage, tokens)
    return scenario.drop is None


def _encoded_chunks(request: ChatRequest, scenario: Scenario, completion: Completion) -> Iterator[tuple[Chunk, bytes]]:
    if scenario.raw_events is not None:
        return raw_chunks(scenario.raw_events)
    return encode_chunks(make_chunks(completion, scenario, include_usage=request.include_usage), scenario)


def _ids(record: Record, scenario: Scenario) -> Mapping[str, str]:
    own = {"x-request-id": f"req-{record.id:08d}"}
    return {**own, **scenario.headers} if scenario.headers else own
