"""The list of models."""

from aiohttp import web

from fake_server.completion import CREATED
from fake_server.ledger import Record
from fake_server.responses import json_response
from fake_server.state import State


async def list_models(state: State, _http: web.Request, _record: Record) -> web.StreamResponse:
    """Answer with the models that scenarios name, and those that were used."""
    names = dict.fromkeys([*state.book.names(), *state.ledger.models])
    models = [{"id": name, "object": "model", "created": CREATED, "owned_by": "fake_server"} for name in names]
    return json_response({"object": "list", "data": models})
