"""`tests/proxy/attacks.yaml`, as a proxy's configuration and as requests."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.support.proxies import deployment

FILE = Path(__file__).parents[1] / "proxy" / "attacks.yaml"
CHAT = "/v1/chat/completions"
QUESTION = [{"role": "user", "content": "Which bridge is the oldest?"}]
_ASKING: Mapping[str, Mapping[str, Any]] = {
    CHAT: {"messages": QUESTION},
    "/v1/messages": {"messages": QUESTION, "max_tokens": 60},
    "/v1/responses": {"input": "Which bridge is the oldest?"},
    "/v1/completions": {"prompt": "Which bridge is the oldest?"},
}
_DEPTH = 900


@dataclass(frozen=True, slots=True)
class May:
    """What may come of an attack.

    Attributes:
        status: `refused` (4xx before any call), `below-500`, `ok`, or `any`.
        calls: At most so many of the operator's upstream.
        models: No others of the upstream.
        usd: What the upstream bills at most.
        seconds: How long it takes at most.
        hidden: Texts that the response must not have.
        shown: Texts that it must have.
    """

    status: str = "below-500"
    calls: int = 4
    models: frozenset[str] = frozenset({"gpt-4o-mini", "gpt-4.1-mini", "gpt-4o"})
    usd: float | None = None
    seconds: float | None = None
    hidden: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Attack:
    """One request."""

    id: str
    key: str
    path: str
    may: May
    body: Any = None
    raw: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    upstream: Mapping[str, Any] = field(default_factory=dict)

    def content(self, foreign: str) -> str:
        """What is sent."""
        return self.raw or json.dumps(filled(self.body, FOREIGN=foreign, **_WORDS))


_WORDS: Mapping[str, Any] = {"QUESTION": QUESTION, "LONG": "word " * 900, "MANY": ["small"] * 33}


def filled(value: Any, **words: Any) -> Any:
    """The value with the words in capitals that the file has in the place of others."""
    if isinstance(value, Mapping):
        return {filled(key, **words): filled(inner, **words) for key, inner in value.items()}
    if isinstance(value, list):
        return [filled(inner, **words) for inner in value]
    if not isinstance(value, str):
        return value
    if value == "DEEP":
        return _deep()
    for word, meant in words.items():
        if value == word:
            return meant
        if isinstance(meant, str):
            value = value.replace(word, meant)
    return value


def _deep() -> dict[str, Any]:
    inside: dict[str, Any] = {"a": 1}
    for _ in range(_DEPTH):
        inside = {"a": inside}
    return inside


def described() -> dict[str, Any]:
    """The file as it is."""
    content: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return content


def configuration(upstream: str) -> dict[str, Any]:
    """The proxy that is attacked."""
    file = described()
    deployments = [
        deployment(
            name,
            info={"composite": {"client_may_set": file["opened"][name]}} if name in file["opened"] else {},
            **filled(settings, UPSTREAM=upstream),
        )
        for name, settings in file["deployments"].items()
    ]
    return {
        "model_list": deployments,
        # A repeated request is the client's doing alone, and what one does must not reach the next.
        "router_settings": {"num_retries": 0, "disable_cooldowns": True},
        "litellm_settings": {
            "custom_provider_map": [{"provider": "composite", "custom_handler": "composite_llm.handler"}],
            "global_disable_no_log_param": True,
        },
        "general_settings": {"master_key": "os.environ/PROXY_MASTER_KEY", "cancel_on_disconnect": True},
    }


def attacks() -> Iterator[Attack]:
    """All of them: each payload at each door, and those of their own."""
    file = described()
    for tried in file["tried"]:
        for door in tried["doors"]:
            for name in tried.get("payloads", file["payloads"]):
                payload = file["payloads"][name]
                sent = payload if "fallback" not in door else {"model": "moa", "timeout": 30, **payload}
                streamed = " streamed" if "with" in tried else ""
                yield Attack(
                    id=f"{tried['path']}{streamed}: {door}: {name}",
                    key="sk-limited",
                    path=tried["path"],
                    may=May(
                        status="any" if "fallback" in door or name in _ANSWERED_BY_LITELLM else "below-500", calls=3
                    ),
                    body=_asking(tried["path"], {**filled(file["doors"][door], PAYLOAD=sent), **tried.get("with", {})}),
                )
    for entry in file["attacks"]:
        path = entry.get("path", CHAT)
        body = entry.get("body")
        yield Attack(
            id=entry["id"],
            key=entry["key"],
            path=path,
            may=_may(entry.get("may", {})),
            body=_asking(path.partition("?")[0], body) if body is not None else None,
            raw=entry.get("raw"),
            headers=entry.get("headers", {}),
            upstream=entry.get("upstream", {}),
        )


_ANSWERED_BY_LITELLM = frozenset({"a failure"})
"""LiteLLM plays the failure that the request asks for, whichever model it is for."""


def _asking(path: str, body: Mapping[str, Any]) -> dict[str, Any]:
    if path == "/utils/transform_request":
        return dict(body)
    return {"model": "moa", **_ASKING.get(path, _ASKING[CHAT] if "completions" in path else {}), **body}


def _may(said: Mapping[str, Any]) -> May:
    lists = {name: tuple(said[name]) for name in ("hidden", "shown") if name in said}
    models = {"models": frozenset(said["models"])} if "models" in said else {}
    rest = {name: said[name] for name in ("status", "calls", "usd", "seconds") if name in said}
    return May(**rest, **lists, **models)
