"""With a seed, the same request sends every model the same bytes again; without, the marks are another run's."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fake_server import ThreadedServer
from tests.support.asking import COUNCIL, FINAL, FIRST, MOA, SECOND, THIRD, Ask, at

SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "moa": (MOA, {"proposers": [FIRST, SECOND]}),
    "self-moa": (MOA, {}),
    "two layers": (MOA, {"proposers": [FIRST, SECOND], "layers": 2}),
    "council": (COUNCIL, {"members": [FIRST, SECOND, THIRD]}),
    "council of personas": (COUNCIL, {}),
    "reviewers apart": (COUNCIL, {"members": [FIRST, SECOND], "reviewers": [THIRD, FINAL], "criteria": "brevity"}),
}


def sent(server: ThreadedServer) -> list[str]:
    return sorted(json.dumps(record.body, sort_keys=True) for record in server.ledger.records)


def both_times(server: ThreadedServer, ask: Ask, model: str, **options: Any) -> list[list[str]]:
    bodies = []
    for _ in range(2):
        server.ledger.clear()
        answer = ask(model, **options)
        if options.get("stream"):
            list(answer)
        bodies.append(sent(server))
    return bodies


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_model_is_sent_the_same_bytes_both_times(
    shape: str, stream: bool, ask: Ask, server: ThreadedServer
) -> None:
    model, options = SHAPES[shape]
    more = {"stream": True} if stream else {}
    first, second = both_times(server, ask, model, seed=7, temperature=0, **options, **more)
    assert len(first) > 2
    assert first == second


def test_a_composite_within_a_composite_repeats_itself_too(ask: Ask, server: ThreadedServer) -> None:
    member = at(server, COUNCIL, members=[at(server, FIRST), at(server, SECOND)], chairman=at(server, THIRD))
    first, second = both_times(server, ask, MOA, proposers=[member, SECOND], layers=2, seed=7)
    assert first == second


@pytest.mark.parametrize("shape", SHAPES)
def test_without_a_seed_the_marks_are_of_that_run(shape: str, ask: Ask, server: ThreadedServer) -> None:
    model, options = SHAPES[shape]
    first, second = both_times(server, ask, model, **options)
    assert first != second
