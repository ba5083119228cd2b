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
    window = state.book.scenario(name).context_window
    if window is not None and window.wording == "llama_cpp":
        model["meta"] = {"n_ctx": window.tokens, "n_ctx_train": window.tokens}
    elif window is not None and window.wording == "vllm":
        model["max_model_len"] = window.tokens
    return model
