"""What arrived upstream, read from the fake server's ledger."""

from __future__ import annotations

import json
import re
from typing import Any

from fake_server import Record, ThreadedServer


def models(server: ThreadedServer) -> list[str | None]:
    """The models asked, in the order of arrival."""
    return [record.model for record in server.ledger.records]


def records(server: ThreadedServer, model: str) -> list[Record]:
    """The requests at one model."""
    return [record for record in server.ledger.records if record.model == model]


def record(server: ThreadedServer, model: str) -> Record:
    """The one request at a model."""
    (found,) = records(server, model)
    return found


def body(server: ThreadedServer, model: str) -> dict[str, Any]:
    """The body of the one request at a model."""
    found: dict[str, Any] = record(server, model).body
    return found


def params(server: ThreadedServer, model: str) -> dict[str, Any]:
    """That body without model and messages."""
    return {key: value for key, value in body(server, model).items() if key not in ("model", "messages")}


def signature(server: ThreadedServer) -> list[str]:
    """Every request's body as text, without the run's own random marks; in an order that does not hang on arrival."""
    return sorted(_unmarked(json.dumps(record.body, sort_keys=True)) for record in server.ledger.records)


def _unmarked(text: str) -> str:
    found = re.search("marks that carry the code ([0-9a-f]+)", text)
    return text.replace(found[1], "MARK") if found else text


def tokens(server: ThreadedServer) -> dict[str, int]:
    """The sums over everything the server answered."""
    used = [record.usage for record in server.ledger.records if record.usage is not None]
    return {
        "prompt_tokens": sum(usage["prompt_tokens"] for usage in used),
        "completion_tokens": sum(usage["completion_tokens"] for usage in used),
        "total_tokens": sum(usage["total_tokens"] for usage in used),
        "cached_tokens": sum(usage["prompt_tokens_details"]["cached_tokens"] for usage in used),
        "reasoning_tokens": sum(usage["completion_tokens_details"]["reasoning_tokens"] for usage in used),
    }


def header(record: Record, name: str) -> str | None:
    """A request's header, whatever the case of its name on the wire."""
    return {key.lower(): value for key, value in record.headers.items()}.get(name.lower())
