"""The endpoints that count tokens without asking a model."""

import json

from aiohttp import web

from fake_server.formats.anthropic_request import read_messages_request
from fake_server.formats.gemini_request import read_generate_request
from fake_server.formats.reading import an_object
from fake_server.ledger import Record
from fake_server.responses import json_response
from fake_server.state import State


async def count_anthropic_tokens(_state: State, http: web.Request, record: Record) -> web.StreamResponse:
    """Answer as Anthropic's `/v1/messages/count_tokens`."""
    record.body = an_object(json.loads(await http.read()))
    request = read_messages_request({"max_tokens": 1, **record.body})
    return json_response({"input_tokens": request.prompt_tokens()})


async def count_gemini_tokens(_state: State, http: web.Request, record: Record) -> web.StreamResponse:
    """Answer as Gemini's `countTokens`."""
    record.body = an_object(json.loads(await http.read()))
    request = read_generate_request(http.match_info["model"], "countTokens", record.body)
    return json_response({"totalTokens": request.prompt_tokens()})
