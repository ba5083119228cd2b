"""The requests of a batch: OpenAI's batch file, or plain lines; and what is written about each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from composite_llm.config.parameters import CONNECTION
from composite_llm.evaluate.asking import Reply
from composite_llm.evaluate.questions import fingerprint
from composite_llm.model.errors import InvalidConfig

URL = "/v1/chat/completions"
_CLOSED = CONNECTION | {"base_url", "api_type", "organization", "custom_llm_provider", "tool_executor", "observers"}
"""What a line may not say: a file that came from somewhere must not send this machine's keys anywhere."""
_FREE = frozenset({"messages", "tools", "response_format", "functions"})
"""What holds data and no settings."""


@dataclass(frozen=True, slots=True)
class Request:
    """One line.

    Attributes:
        custom_id: Its name in the output.
        model: A model string; None where the line names none.
        messages: The conversation.
        options: Everything else of the body.
        fingerprint: The same for the same content.
    """

    custom_id: str
    model: str | None
    messages: list[dict[str, Any]]
    options: Mapping[str, Any]
    fingerprint: str


def load_requests(path: Path) -> list[Request]:
    """The requests of a file.

    Each line is OpenAI's form (`custom_id`, `method`, `url`, `body`), or a body by itself, or has `prompt` in the place of
    `messages`.

    Raises:
        InvalidConfig: The file or a line cannot be used.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InvalidConfig(f"{path}: {error.strerror or 'cannot be read'}") from None
    except UnicodeDecodeError:
        raise InvalidConfig(f"{path}: is not UTF-8 text") from None
    requests: dict[str, Request] = {}
    for number, line in _lines(path, text):
        request = _request(f"{path}, line {number}", line, number)
        if request.custom_id in requests:
            raise InvalidConfig(f"{path}, line {number}: custom_id {request.custom_id!r} stands there twice")
        requests[request.custom_id] = request
    if not requests:
        raise InvalidConfig(f"{path}: holds no request")
    return list(requests.values())


def _lines(path: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            raise InvalidConfig(f"{path}, line {number}: is no JSON") from None
        if not isinstance(entry, dict):
            raise InvalidConfig(f"{path}, line {number}: is no object")
        yield number, entry


def _request(where: str, entry: dict[str, Any], number: int) -> Request:
    custom_id = entry.pop("custom_id", f"request-{number}")
    if not isinstance(custom_id, str) or not custom_id:
        raise InvalidConfig(f"{where}: custom_id is not text")
    if entry.pop("method", "POST") != "POST" or entry.pop("url", URL) != URL:
        raise InvalidConfig(f"{where}: only POST {URL} can be asked")
    body = entry.pop("body", None)
    if body is None:
        body = entry
    if not isinstance(body, dict):
        raise InvalidConfig(f"{where}: body is no object")
    messages = _messages(where, body)
    model = body.get("model")
    if model is not None and not isinstance(model, str):
        raise InvalidConfig(f"{where}: model is not text")
    options = {
        key: value
        for key, value in body.items()
        if key not in ("model", "messages", "prompt", "stream", "stream_options")
    }
    _check_closed(where, options)
    return Request(custom_id, model, messages, options, fingerprint(model, messages, options))


def _messages(where: str, body: Mapping[str, Any]) -> list[dict[str, Any]]:
    if isinstance(body.get("prompt"), str) and "messages" not in body:
        return [{"role": "user", "content": body["prompt"]}]
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(one, dict) for one in messages):
        raise InvalidConfig(f"{where}: messages is not a list of messages")
    return messages


def _check_closed(where: str, value: Any, path: str = "") -> None:
    """Endpoints, keys and the environment are the command line's and the configuration's."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            name = f"{path}.{key}" if path else str(key)
            if key in _CLOSED:
                raise InvalidConfig(f"{where}: {name} may not be set in a request; set it on the command line")
            if key not in _FREE:
                _check_closed(where, inner, name)
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            _check_closed(where, inner, f"{path}.{place}")
    elif isinstance(value, str) and value.startswith("os.environ/"):
        raise InvalidConfig(f"{where}: {path} names a variable of the environment; set it on the command line")


def answered_line(custom_id: str, known_as: str, reply: Reply) -> dict[str, Any]:
    """What is written about a request, in the form of OpenAI's output file, with what it cost beside it."""
    error = None
    if reply.error is None:
        body = reply.response.model_dump(mode="json", exclude_none=True)
    else:
        error = {"code": reply.error_class, "message": reply.error}
        body = {"error": {"message": reply.error, "type": reply.error_class, "code": reply.status_code}}
    trace = reply.trace
    return {
        "id": f"batch_req_{known_as}",
        "custom_id": custom_id,
        "response": {"status_code": reply.status_code, "request_id": body.get("id") or "", "body": body},
        "error": error,
        "composite": {
            "fingerprint": known_as,
            "cost_usd": reply.cost_usd,
            "seconds": round(reply.seconds, 3),
            "calls": reply.calls,
            "prompt_tokens": reply.prompt_tokens,
            "completion_tokens": reply.completion_tokens,
            "trace_id": trace.id if trace is not None else None,
            "degraded": [str(reason) for reason in trace.degraded] if trace is not None else [],
        },
    }
