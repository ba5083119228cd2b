"""The storm's runs: every shape, each with a question of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

PRICE = 1e-6
"""US dollars for a token of every model here."""
NESTED = "composite/"
FAULTS: dict[str, dict[str, Any]] = {
    "broken": {"status": 500},
    "away": {"status": 503},
    "busy": {"status": 429, "retry_after": 0},
    "strict": {"status": 400},
    "gateway": {"status": 502},
}
MODELS = [f"openai/storm-{name}-{number}" for name in FAULTS for number in range(2)]
RUN_TIMEOUT_S = 1200.0
"""Never reached, however slow the machine: what the server answers to a call that was cut off, nobody is told."""


@dataclass(frozen=True)
class Storm:
    """What blows where.

    Attributes:
        url: The fake server's address.
        runs: How many runs.
        at_once: How many of them at a time.
        seed: Decides which attempts fail.
        rate: The share that does.
    """

    url: str
    runs: int
    at_once: int
    seed: int = 1
    rate: float = 0.2


def scenarios(storm: Storm) -> dict[str, dict[str, Any]]:
    """Each model fails in its own way, by the storm's seed."""
    return {
        f"storm-{name}-*": {"error_rate": storm.rate, "seed": storm.seed + number, "error": error}
        for number, (name, error) in enumerate(FAULTS.items())
    }


def question(number: int) -> str:
    """A question of its own, so that no run uses what another was answered."""
    return f"Question {number}: which bridge is the oldest?"


def streamed(number: int) -> bool:
    """Every other run."""
    return bool(number % 2)


def request(storm: Storm, number: int) -> dict[str, Any]:
    """The arguments of one run; shapes take turns."""
    chosen = [MODELS[(number * 7 + step * 3) % len(MODELS)] for step in range(4)]
    strategy, options = SHAPES[number % len(SHAPES)](chosen)
    connection = {"api_base": f"{storm.url}/v1", "api_key": "sk-soak"}
    for node in options.get("proposers", ()):
        if isinstance(node, dict) and node["model"].startswith(NESTED):
            node.update(connection)
    return {
        "model": f"composite/{strategy}/{chosen[0]}",
        "messages": [{"role": "user", "content": question(number)}],
        "stream": streamed(number),
        **connection,
        **options,
    }


def _node(model: str, *fallbacks: str) -> dict[str, Any]:
    return {"model": model, "num_retries": 1, "fallbacks": list(fallbacks)}


Shape = Callable[[list[str]], tuple[str, dict[str, Any]]]
SHAPES: list[Shape] = [
    lambda m: ("moa", {"proposers": [_node(m[1]), _node(m[2]), _node(m[3])], "aggregator": {"fallbacks": [m[1]]}}),
    lambda m: ("moa", {"proposers": [_node(m[1], m[2]), m[3]], "layers": 2, "quorum": 2}),
    lambda m: ("council", {"members": [_node(m[1]), _node(m[2])], "on_final_failure": "best"}),
    lambda m: ("moa", {"samples": 2, "max_calls": 6, "max_cost_usd": 0.03}),
    lambda m: ("moa", {"proposers": [m[1], {"model": f"composite/council/{m[2]}", "members": [m[3], m[0]]}]}),
    lambda m: ("council", {"members": m[1:], "reviewers": [m[0]], "quorum": 2, "straggler_grace_s": 30}),
    lambda m: ("moa", {"proposers": m[1:], "max_parallel": 2, "timeout": RUN_TIMEOUT_S}),
]
