"""What Ollama tells about its models: `/api/show`, `/api/tags`, `/api/version`."""

import asyncio
import json
from typing import Any

from aiohttp import web

from fake_server.ledger import Record
from fake_server.responses import json_response
from fake_server.scenario import ShowSpec
from fake_server.state import State

_DETAILS = {
    "parent_model": "",
    "format": "gguf",
    "family": "llama",
    "families": ["llama"],
    "parameter_size": "8.0B",
    "quantization_level": "Q4_K_M",
}
_NOTHING = ShowSpec()


async def show_model(state: State, http: web.Request, record: Record) -> web.StreamResponse:
    """Describe a model, after as long as its scenario says."""
    try:
        record.body = json.loads(await http.read())
        model = record.body.get("model") or record.body.get("name")
    except (ValueError, AttributeError):
        return json_response({"error": "invalid character"}, status=400)
    if not isinstance(model, str) or not model:
        return json_response({"error": "model is required"}, status=400)
    record.model = model
    show = state.book.scenario(model).show or _NOTHING
    if show.latency_s:
        await asyncio.sleep(show.latency_s)
    if show.status is not None:
        return json_response({"error": f"model '{model}' not found"}, status=show.status)
    return json_response(_description(show))


async def list_tags(state: State, _http: web.Request, _record: Record) -> web.StreamResponse:
    """List the models."""
    names = dict.fromkeys([*state.book.names(), *state.ledger.models])
    models = [
        {
            "name": name,
            "model": name,
            "modified_at": "2025-01-01T00:00:00Z",
            "size": 1,
            "digest": "",
            "details": _DETAILS,
        }
        for name in names
    ]
    return json_response({"models": models})


async def tell_version(_state: State, _http: web.Request, _record: Record) -> web.StreamResponse:
    """Tell the version."""
    return json_response({"version": "0.12.6"})


def _description(show: ShowSpec) -> dict[str, Any]:
    return {
        "modelfile": "",
        "parameters": "",
        "template": "{{ if .Tools }}{{ .Tools }}{{ end }}{{ .Prompt }}"
        if "tools" in show.capabilities
        else "{{ .Prompt }}",
        "details": _DETAILS,
        "model_info": {"general.architecture": "llama", "llama.context_length": show.context_length},
        "capabilities": show.capabilities,
    }
