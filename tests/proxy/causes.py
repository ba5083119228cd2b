"""What a client of the proxy can do that must not take anything from the others, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


def _nested(depth: int) -> dict[str, Any]:
    inside: dict[str, Any] = {"a": 1}
    for _ in range(depth):
        inside = {"a": inside}
    return inside


def _with_part(part: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, part]}]}


@dataclass(frozen=True)
class Cause:
    """What a client sends.

    Attributes:
        body: Beside model and question.
        statuses: What it is answered.
        path: The endpoint.
        headers: Of its own.
        key: Settings of its key.
        upstream: Scenarios by model.
        raw: The whole body as text, where it is no JSON that others would write.
        group: The load-balanced model that it asks.
    """

    body: Mapping[str, Any] = field(default_factory=dict)
    statuses: tuple[int, ...] = (400,)
    path: str = "/v1/chat/completions"
    headers: Mapping[str, str] = field(default_factory=dict)
    key: Mapping[str, Any] = field(default_factory=dict)
    upstream: Mapping[str, Any] = field(default_factory=dict)
    raw: str = ""
    group: str = ""


NO_JSON_EVER = {"response_format": {"type": "json_object"}}
CAUSES: dict[str, Cause] = {
    "a cap that is too low": Cause({"max_cost_usd": 1e-9}),
    "a key's cap": Cause(key={"metadata": {"composite": {"max_cost_usd": 1e-9}}}),
    "a team's cap": Cause(key={"team_id": "t", "team_metadata": {"composite": {"max_cost_usd": 1e-9}}}),
    # A stream has passed it on before it can be checked.
    "a format that is never met": Cause(NO_JSON_EVER, (422, 200)),
    "an option that is refused": Cause({"layers": 9}, (403,)),
    "a time that is too short": Cause({"timeout": 0.001}, (408,)),
    "a header with a time that is too short": Cause(headers={"x-litellm-timeout": "0.001"}, statuses=(408,)),
    "no time at all": Cause({"timeout": -1}, (400, 408)),
    "a part that is nested deep": Cause(_with_part({"type": "text", "text": "a", "y": _nested(900)})),
    "a malformed part": Cause(_with_part({"type": "image_url"})),
    "a number as a part": Cause(_with_part(5)),
    "a tool that is none": Cause({"tools": [{"type": "function"}]}),
    "tools that are a word": Cause({"tools": "weather"}),
    "members that say nothing": Cause(
        {"messages": [{"role": "user", "content": "Be silent."}]},
        (422,),
        upstream={model: {"blank": True} for model in ("gpt-4o-mini", "gpt-4.1-mini")},
    ),
    "answers that are withheld": Cause(
        {"messages": [{"role": "user", "content": "Something forbidden."}]},
        (400, 422),
        upstream={
            model: {"error": {"status": 400, "code": "content_policy_violation"}}
            for model in ("gpt-4o-mini", "gpt-4.1-mini")
        },
    ),
    "members of its own choice that are down": Cause(
        {"proposers": ["sinking"]},
        # The Router soon leaves out what they stand for.
        (429, 500, 503),
        upstream={model: {"error": {"status": 500}} for model in ("sinking-1", "sinking-2")},
        group="open",
    ),
    "a final model of its own choice that does not exist": Cause({"aggregator": "nobody"}, (403,), group="open"),
    "an unknown profile": Cause({"model": "composite/profile/nobody"}, (404,), group="composite/moa/large"),
    "an unknown strategy": Cause({"model": "composite/nothing/large"}, (404,), group="composite/moa/large"),
    "embeddings": Cause({"input": "a"}, path="/v1/embeddings"),
    "an image": Cause({"prompt": "a"}, path="/v1/images/generations"),
    "speech": Cause({"input": "a", "voice": "alloy"}, path="/v1/audio/speech"),
    "a ranking": Cause({"query": "a", "documents": ["b"]}, path="/v1/rerank"),
    "a moderation": Cause({"input": "a"}, path="/v1/moderations"),
    "a file to transcribe": Cause(path="/v1/audio/transcriptions", statuses=(400, 422)),
    "a video": Cause({"prompt": "a"}, path="/v1/videos"),
    "a page to read": Cause({"document": {"type": "document_url", "document_url": "a"}}, path="/v1/ocr"),
    "a request in Gemini's form": Cause(
        {"contents": [{"role": "user", "parts": [{"text": "a"}]}]}, path="/v1beta/models/GROUP:generateContent"
    ),
    "NaN": Cause(raw='{"model": MODEL, "messages": [{"role": "user", "content": "a"}], "temperature": NaN}'),
    "NaN for the final model": Cause(raw='{"model": MODEL, "messages": [{"role": "user", "content": "a"}], "n": NaN}'),
    "endless time": Cause(
        raw='{"model": MODEL, "messages": [{"role": "user", "content": "a"}], "timeout": Infinity}', statuses=(200, 400)
    ),
}
STREAMED = [name for name, cause in CAUSES.items() if not cause.raw and cause.path == "/v1/chat/completions"]
GROUPS: dict[tuple[str, bool], str] = {
    (name, streamed): f"balanced-{number}{'-streamed' if streamed else ''}"
    for number, (name, cause) in enumerate(CAUSES.items())
    for streamed in ((False, True) if name in STREAMED else (False,))
    if not cause.group
}
"""A load-balanced composite for each, of two deployments: one that was cooled down would be missed by the next."""
