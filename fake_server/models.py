"""The list of models."""

from typing import Any

from aiohttp import web

from fake_server.completion import CREATED
from fake_server.ledger import Record
from fake_server.responses import json_response
from fake_server.state import State


async def list_models(state: State, _http: web.Request, _record: Record) -> web.StreamResponse:
    """Answer with the models that scenarios name, and those that were used."""
    names = dict.fromkeys([*state.book.names(), *state.ledger.models])
    return json_response({"object": "list", "data": [_model(state, name) for name in names]})


def _model(state: State, name: str) -> dict[str, Any]:
    model = {"id": name, "object": "model", "created": CREATED, "owned_by": "fake_server"}
    scenario = state.book.scenario(name)
    window = scenario.context_window
    if window is None:
        return model
    server = window.wording or scenario.served_by
    if server == "llama_cpp":
        model["meta"] = {"n_ctx": window.tokens, "n_ctx_train": window.tokens}
    elif server == "vllm":
        model["max_model_len"] = window.tokens
    elif server == "openrouter":
        model["context_length"] = window.tokens
    return model
