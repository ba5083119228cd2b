"""A request that makes much work holds up nobody else: it is refused, or its work is bounded and done beside the event loop."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from fake_server import ThreadedServer
from tests.support.proxies import CLIENT, Proxy

LONGEST_WAIT_S = 5.0
"""What another client may have to wait for a trivial answer: some 0.2 s on a machine that does nothing else."""

ASKED = [{"role": "user", "content": "Which bridge is the oldest?"}]
EVIL = "^(a+)+$"
TEXT = "a" * 60 + "!"


def doubling(depth: int) -> dict[str, Any]:
    parts: dict[str, Any] = {"d0": {"type": "object"}}
    for number in range(1, depth + 1):
        parts[f"d{number}"] = {"allOf": [{"$ref": f"#/$defs/d{number - 1}"}] * 2}
    return {"$defs": parts, "$ref": f"#/$defs/d{depth}"}


def _nested(depth: int) -> Any:
    inside: Any = 1
    for _ in range(depth):
        inside = {"a": inside}
    return inside


HOLDING: dict[str, tuple[dict[str, Any], Any]] = {
    "a pattern": ({"properties": {"a": {"type": "string", "pattern": EVIL}}}, {"a": TEXT}),
    "patterns for names": ({"patternProperties": {EVIL: {}}, "additionalProperties": False}, {TEXT: 1}),
    "unique objects": ({"properties": {"a": {"uniqueItems": True}}}, {"a": [{"i": n} for n in range(20_000)]}),
    "a reference that doubles with each level": (
        {"properties": {"a": {"allOf": [{"$ref": "#"}] * 2}}},
        _nested(80),
    ),
    "a long enum": (
        {"properties": {"a": {"items": {"enum": [{"b": n} for n in range(3000)]}}}},
        {"a": [{"b": -1}] * 3000},
    ),
}
REFUSED: dict[str, dict[str, Any]] = {
    "references that double 17 deep": doubling(17),
    "references that double 40 deep": doubling(40),
    "a reference to itself": {"$ref": "#"},
}
ENDPOINTS: dict[str, Callable[[dict[str, Any]], tuple[str, dict[str, Any]]]] = {
    "format": lambda schema: (
        "/v1/chat/completions",
        {
            "messages": ASKED,
            "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}},
        },
    ),
    "tools": lambda schema: (
        "/v1/chat/completions",
        {"messages": ASKED, "tools": [{"type": "function", "function": {"name": "f", "parameters": schema}}]},
    ),
    "messages": lambda schema: (
        "/v1/messages",
        {"messages": ASKED, "max_tokens": 60, "tools": [{"name": "f", "input_schema": schema}]},
    ),
    "responses": lambda schema: (
        "/v1/responses",
        {"input": "Which?", "text": {"format": {"type": "json_schema", "name": "x", "schema": schema}}},
    ),
    "responses-tools": lambda schema: (
        "/v1/responses",
        {"input": "Which?", "tools": [{"type": "function", "name": "f", "parameters": schema}]},
    ),
}


@pytest.fixture(autouse=True)
def _warm(proxy: Proxy, upstream: ThreadedServer) -> None:
    """The first call of a process loads what LiteLLM needs for it, whoever makes it."""
    assert proxy.post({"model": "limited", "messages": ASKED}).status_code == 200
    upstream.ledger.clear()


@contextmanager
def others_are_served(proxy: Proxy) -> Iterator[None]:
    """Another client asks something trivial all the time, and never waits long."""
    over = threading.Event()
    waits: list[float] = []

    def ask() -> None:
        with httpx.Client(timeout=60) as http:
            while not over.is_set():
                began = time.monotonic()
                http.get(f"{proxy.url}/health/liveliness")
                waits.append(time.monotonic() - began)
                over.wait(0.05)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield
    finally:
        over.set()
        asking.join()
    assert max(waits) < LONGEST_WAIT_S


def _post(proxy: Proxy, path: str, body: dict[str, Any]) -> httpx.Response:
    return httpx.post(f"{proxy.url}{path}", json=body, headers={"authorization": f"Bearer {CLIENT}"}, timeout=60)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("name", HOLDING)
def test_an_answer_that_is_hard_to_check_holds_up_nobody(
    proxy: Proxy, upstream: ThreadedServer, name: str, endpoint: str
) -> None:
    schema, value = HOLDING[name]
    text = json.dumps(value)
    calls = {"tool_calls": [{"name": "f", "arguments": value}]}
    upstream.set_scenario("gpt-4o", {"text": text} if endpoint in ("format", "responses") else calls)
    path, body = ENDPOINTS[endpoint]({"type": "object", **schema})
    with others_are_served(proxy):
        response = _post(proxy, path, {"model": "plain-moa", **body})
    assert response.status_code in (200, 422), response.text[:300]


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("name", REFUSED)
def test_a_schema_that_nobody_could_be_done_with_is_refused_before_anything_is_asked(
    proxy: Proxy, upstream: ThreadedServer, name: str, endpoint: str
) -> None:
    path, body = ENDPOINTS[endpoint]({"type": "object", **REFUSED[name]})
    with others_are_served(proxy):
        response = _post(proxy, path, {"model": "plain-moa", **body})
    assert response.status_code == 400, response.text[:300]
    assert "reference" in response.text
    assert upstream.ledger.records == []


WORDS = "The quick brown fox jumps over the lazy dog, said nobody. " * 180_000
LARGE: dict[str, tuple[str, Any, int]] = {
    "a text": ("limited", WORDS, 400),
    "a part": ("limited", [{"type": "text", "text": WORDS}], 400),
    "a single word": ("limited", "a" * 10_000_000, 400),
    "a text that fits": ("large-window", WORDS[:3_000_000], 200),
    "a part that is nested deep": ("plain-moa", [{"type": "text", "text": "a", "x": _nested(900)}], 400),
    "a part of a million values": ("plain-moa", [{"type": "text", "text": "a", "x": [0] * 1_000_000}], 400),
}


@pytest.mark.parametrize("name", LARGE)
def test_a_large_request_holds_up_nobody(proxy: Proxy, name: str) -> None:
    model, content, status = LARGE[name]
    with others_are_served(proxy):
        response = _post(
            proxy, "/v1/chat/completions", {"model": model, "messages": [{"role": "user", "content": content}]}
        )
    assert response.status_code == status, response.text[:300]


def test_no_server_that_a_client_names_is_asked_for_the_size_of_an_image(proxy: Proxy) -> None:
    image = {"type": "image_url", "image_url": {"url": "", "detail": "high"}}
    with socket.create_server(("127.0.0.1", 0)) as silent, others_are_served(proxy):
        image["image_url"] = {"url": f"http://127.0.0.1:{silent.getsockname()[1]}/a.png", "detail": "high"}
        content = [{"type": "text", "text": "What is it?"}, image]
        response = _post(
            proxy, "/v1/chat/completions", {"model": "limited", "messages": [{"role": "user", "content": content}]}
        )
        silent.settimeout(0)
        with pytest.raises(BlockingIOError):
            silent.accept()
    assert response.status_code == 200, response.text[:300]
