"""Who pays, as a table: every endpoint, plain and streamed, however the run ends and whatever is nested in it.

Each row is compared with the upstream's own ledger: to the last digit where the upstream could tell what it used, and
within 15 %, marked as estimated, where a client left an answer in its midst, so that the upstream's last word could
never arrive. The rows of one ending are asked at the same time, each with a question of its own.
"""

from __future__ import annotations

import itertools
import json
import socket
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from litellm.proxy._types import hash_token

from composite_llm import Trace, TraceStore
from composite_llm.observe.store import StoreUnavailable
from fake_server import ThreadedServer
from fake_server.ledger import Record
from tests.proxy.test_money import PRICES, connected, request_head, settle
from tests.support.proxies import Proxy, eventually

FINAL, SLOW, QUICK = "gpt-4o", "gpt-4.1-mini", "gpt-4o-mini"
WORDS = " ".join(f"The {nth} bridge was built of stone." for nth in ("first", "second", "third", "fourth", "fifth"))
PIECES = len(WORDS) // 4
AT_ONCE = 6

PATHS = {
    "chat": "/v1/chat/completions",
    "messages": "/v1/messages",
    "responses": "/v1/responses",
    "completions": "/v1/completions",
}
NESTED = (
    "outer-final",
    "outer-member",
    "outer-in-place",
    "outer-fallback",
    "outer-council",
    "outer-twice",
    "outer-balanced",
)


@dataclass(frozen=True)
class Row:
    """One way to ask, and how it ends."""

    endpoint: str
    streamed: bool
    ending: str
    model: str = "team-moa"
    reasoning: str | None = None

    def __str__(self) -> str:
        parts = [self.endpoint, "streamed" if self.streamed else "plain", self.ending, self.model, self.reasoning]
        return "-".join(part for part in parts if part)

    @property
    def question(self) -> str:
        return f"Which bridge is the oldest? [{self}]"

    def body(self) -> dict[str, Any]:
        asked: dict[str, Any] = {"messages": [{"role": "user", "content": self.question}]}
        asked = {"responses": {"input": self.question}, "completions": {"prompt": self.question}}.get(
            self.endpoint, asked
        )
        if self.endpoint == "messages":
            asked["max_tokens"] = 2000
        if self.reasoning is not None:
            asked["reasoning"] = self.reasoning
        return {"model": self.model, "stream": self.streamed, **asked}

    def records(self, upstream: ThreadedServer) -> list[Record]:
        """What it made the upstream do."""
        return [record for record in [*upstream.ledger.records] if self.question in json.dumps(record.body)]


@dataclass(frozen=True)
class Ending:
    """How the upstream behaves, and when the client leaves.

    Attributes:
        scenarios: By the upstream's model.
        seen: What the upstream must have done before the client leaves; None for a client that stays.
        read: What the client must have read of the answer's text before.
        told: Whether the upstream tells all that it used; None where it may.
    """

    scenarios: dict[str, dict[str, Any]]
    seen: Callable[[list[Record]], bool] | None = None
    read: str = ""
    told: bool | None = True


def _final_has_written(chunks: int) -> Callable[[list[Record]], bool]:
    return lambda records: any(one.model == FINAL and one.open and one.chunks >= chunks for one in records)


def _while_proposals(records: list[Record]) -> bool:
    done = any(record.model == QUICK and not record.open for record in records)
    return done and any(record.model == SLOW and record.open for record in records)


def _cut(chunks: int, read: str = "") -> Ending:
    scenario = {"text": WORDS, "hang_after_chunks": chunks}
    return Ending({FINAL: scenario}, _final_has_written(chunks), read, told=False)


ENDINGS = {
    "ok": Ending({}),
    "member-fails": Ending({SLOW: {"error": {"status": 500}}}),
    "final-fails": Ending({FINAL: {"error": {"status": 500}}}),
    "leaves-in-proposals": Ending({SLOW: {"hang": True}}, _while_proposals),
    "leaves-before-accepted": Ending({FINAL: {"hang": True}}, _final_has_written(0)),
    # One chunk for the role, one for the reason of the end, one for the usage.
    "leaves-before-first-token": _cut(1),
    "leaves-in-the-middle": _cut(1 + PIECES // 2, "second"),
    "leaves-after-the-last-token": _cut(1 + PIECES, "fifth"),
    "leaves-after-the-finish": _cut(2 + PIECES, "fifth"),
    # Whether the upstream's last word still arrives is a matter of milliseconds.
    "leaves-when-it-has-all": Ending({FINAL: {"text": WORDS}}, lambda _: True, WORDS[-30:], told=None),
}
STAYS = [name for name, ending in ENDINGS.items() if ending.seen is None]
LEAVES = [name for name, ending in ENDINGS.items() if ending.seen is not None]
# Nobody can leave the midst of an answer that comes whole.
PLAIN = {"leaves-in-proposals", "leaves-before-accepted"}


def _rows() -> Iterator[Row]:
    for endpoint, streamed, ending in itertools.product(PATHS, (False, True), ENDINGS):
        if streamed or ending in STAYS or ending in PLAIN:
            yield Row(endpoint, streamed, ending)
    for endpoint, ending, reasoning in itertools.product(PATHS, LEAVES, ("off", "full")):
        yield Row(endpoint, True, ending, reasoning=reasoning)
    for model, streamed, ending in itertools.product(NESTED, (False, True), ENDINGS):
        if streamed or ending not in LEAVES or ending in PLAIN:
            yield Row("chat", streamed, ending, model)
    for endpoint, model in itertools.product(("messages", "responses", "completions"), NESTED):
        for streamed, ending in itertools.product((False, True), STAYS):
            yield Row(endpoint, streamed, ending, model)


@dataclass(frozen=True)
class Outcome:
    """What came of a row: what the key was charged, what callbacks heard, what was billed, the run as it is kept."""

    charged: list[dict[str, Any]]
    heard: list[dict[str, Any]]
    billed_usd: float
    trace: Trace


_known: dict[str, dict[Row, Outcome]] = {}


@pytest.mark.parametrize("row", list(_rows()), ids=str)
def test_the_key_is_charged_what_the_upstream_billed(proxy: Proxy, upstream: ThreadedServer, row: Row) -> None:
    if row.ending not in _known:
        _known[row.ending] = _outcomes(proxy, upstream, row.ending)
    outcome = _known[row.ending][row]
    (charge,) = outcome.charged
    told = ENDINGS[row.ending].told
    assert outcome.billed_usd > 0
    assert charge["cost_usd"] == pytest.approx(outcome.billed_usd, rel=1e-9 if told else 0.15)
    assert charge["cost_usd"] == pytest.approx(outcome.trace.cost_usd)
    if row.streamed or row.ending in STAYS:
        # Of a plain answer that nobody waits for any more LiteLLM's callbacks hear nothing, or no cost.
        (event,) = outcome.heard
        assert event["logged_cost_usd"] == pytest.approx(charge["cost_usd"])
        assert event["total_tokens"] == outcome.trace.usage.total_tokens
    attempts = [attempt for call in outcome.trace.calls for attempt in call.attempts]
    if told is not None:
        assert any(attempt.estimated for attempt in attempts) is not told


def _outcomes(proxy: Proxy, upstream: ThreadedServer, name: str) -> dict[Row, Outcome]:
    """All rows of one ending."""
    for model, scenario in ENDINGS[name].scenarios.items():
        upstream.set_scenario(model, scenario)
    keys = {row: f"sk-{uuid.uuid4().hex}" for row in _rows() if row.ending == name}
    for key in keys.values():
        proxy.add_key(key)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        billed = dict(zip(keys, pool.map(lambda row: _billed(proxy, upstream, row, keys[row]), keys), strict=True))
    upstream.reset_scenarios()
    settle(proxy)
    charges, events = proxy.written("charges"), proxy.written("events")
    return {
        row: Outcome(_of(charges, key), _of(events, key), billed[row], _kept(proxy, key)) for row, key in keys.items()
    }


def _of(written: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    return [entry for entry in written if entry["key"] == hash_token(key)]


def _kept(proxy: Proxy, key: str) -> Trace:
    store = TraceStore(proxy.directory / "traces.db")

    def found() -> Trace | None:
        try:
            runs = [run for run in store.runs(limit=None) if run.key == hash_token(key) and run.status != "running"]
        except StoreUnavailable:
            return None
        return store.trace(runs[0].id) if runs else None

    trace = eventually(found)
    assert trace is not None
    return trace


def _billed(proxy: Proxy, upstream: ThreadedServer, row: Row, key: str) -> float:
    """Ask, as the row says, and what that cost upstream in US dollars."""
    ending = ENDINGS[row.ending]
    if ending.seen is None:
        proxy.post(row.body(), path=PATHS[row.endpoint], key=key)
    else:
        _ask_and_leave(proxy, upstream, key, row, ending)
    upstream.wait_until(lambda _: not any(record.open for record in row.records(upstream)))
    total = 0.0
    for record in row.records(upstream):
        if record.usage is not None and record.model in PRICES:
            prompt, completion = PRICES[str(record.model)]
            total += record.usage["prompt_tokens"] * prompt + record.usage["completion_tokens"] * completion
    return total


def _ask_and_leave(proxy: Proxy, upstream: ThreadedServer, key: str, row: Row, ending: Ending) -> None:
    body = json.dumps(row.body()).encode()
    seen = ending.seen
    assert seen is not None
    with connected(proxy) as client:
        client.sendall(request_head(proxy, key, PATHS[row.endpoint], body) + body)
        upstream.wait_until(lambda _: seen(row.records(upstream)))
        if row.streamed:
            _read_until(client, ending.read)


def _read_until(client: socket.socket, text: str) -> None:
    """Read until the text has come, in whatever pieces: of the pieces' letters alone."""
    received = b""
    while text and text not in _letters(received):
        piece = client.recv(65536)
        assert piece, received
        received += piece


def _letters(received: bytes) -> str:
    found = []
    for line in received.decode("utf-8", errors="replace").splitlines():
        data = line.removeprefix("data: ")
        try:
            event = json.loads(data) if data != line else None
        except ValueError:
            continue
        if isinstance(event, dict):
            found.append(_text_in(event))
    return "".join(found)


def _text_in(event: dict[str, Any]) -> str:
    """The answer's text in one event of any of the four endpoints."""
    choices = event.get("choices") or [{}]
    delta = event.get("delta")
    if isinstance(delta, str):
        return delta if event.get("type") == "response.output_text.delta" else ""
    inside = delta or choices[0].get("delta") or choices[0]
    return str(inside.get("content") or inside.get("text") or "")
