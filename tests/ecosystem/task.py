"""The task that every framework gets, the models that play it, and what they were asked.

"How many more people live in Oslo than in Bergen?" takes two calls of a tool, each with what came before, and an answer.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from fake_server import Record, ThreadedServer

QUESTION = "How many more people live in Oslo than in Bergen?"
PEOPLE = {"Oslo": 709037, "Bergen": 291940}
DIFFERENCE = "417097"
ANSWER = f"{DIFFERENCE} more people live in Oslo."
SECOND_QUESTION = "And how many live in both together?"
SECOND_ANSWER = "1000977 people live in both."
CITY = {"name": "Oslo", "population": 709037}

MODEL = "composite/moa/openai/gpt-4.1"
"""Also what the examples ask."""
PROPOSERS = ["openai/gpt-4.1-mini", "openai/gpt-4o-mini"]
KEY = "sk-test"

_REPOSITORY = Path(__file__).resolve().parents[2]
_ADVICE = "Look both cities up, then subtract."


def call_of(tool: str, **arguments: Any) -> dict[str, Any]:
    """A turn of the final model that calls a tool."""
    return {"tool_calls": [{"name": tool, "arguments": arguments}]}


class Upstream:
    """The models behind the composite.

    Args:
        server: Plays them.
    """

    def __init__(self, server: ThreadedServer) -> None:
        self.server = server
        self.base_url = server.base_url
        for model in PROPOSERS:
            server.set_scenario(model.removeprefix("openai/"), {"text": _ADVICE})

    def play(self, first: dict[str, Any], *then: tuple[str, dict[str, Any]]) -> None:
        """What the final model does first, and what as soon as a text has occurred, the latest first."""
        rules = [{"contains": text, "then": turn} for text, turn in reversed(then)]
        self.server.set_scenario("gpt-4.1", {**first, "by_content": rules} if rules else first)

    def play_task(self, finish: dict[str, Any] | None = None) -> None:
        """Two calls of the tool, the second when the first's result is there, then the answer."""
        self.play(
            call_of("population", city="Oslo"),
            (str(PEOPLE["Oslo"]), call_of("population", city="Bergen")),
            (str(PEOPLE["Bergen"]), finish or {"text": ANSWER}),
            (SECOND_QUESTION, {"text": SECOND_ANSWER}),
        )

    @property
    def records(self) -> list[Record]:
        """All requests."""
        return list(self.server.ledger.records)

    @property
    def asked(self) -> tuple[int, int]:
        """How often the proposers, each as often as the other, and the final model were asked."""
        counts = Counter(record.model for record in self.records)
        mini, nano, final = (counts.pop(name, 0) for name in ("gpt-4.1-mini", "gpt-4o-mini", "gpt-4.1"))
        assert not counts
        assert mini == nano
        return mini, final

    @property
    def tokens(self) -> tuple[int, int]:
        """Prompt and completion tokens of all requests."""
        usages = [record.usage or {} for record in self.records]
        return sum(usage["prompt_tokens"] for usage in usages), sum(usage["completion_tokens"] for usage in usages)

    def bodies(self, *models: str) -> list[dict[str, Any]]:
        """What these models were sent."""
        names = [model.removeprefix("openai/") for model in models]
        return [record.body for record in self.records if record.model in names]

    def check_only_the_final_model_got(self, *parameters: str) -> None:
        """These parameters are the final call's alone, and no option of ours travels."""
        for body in self.bodies(*PROPOSERS):
            assert not {"tools", "tool_choice", "response_format", *parameters} & set(body)
        for body in self.bodies("gpt-4.1"):
            assert set(parameters) <= set(body)
        for record in self.records:
            assert "proposers" not in record.body

    def check_no_reasoning_was_sent(self) -> None:
        """What a framework echoes of the composite's own summary goes to no model."""
        sent = [message for record in self.records for message in record.body["messages"]]
        assert not {"reasoning_content", "thinking_blocks", "provider_specific_fields"} & {
            key for message in sent for key in message
        }

    def run_example(self, name: str) -> str:
        """What an example prints, run as its reader would run it, with this server in the place of OpenAI."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_PROCESS")}
        done = subprocess.run(
            [sys.executable, "-m", f"examples.frameworks.{name}"],
            cwd=_REPOSITORY,
            env={**environment, "OPENAI_API_BASE": self.base_url, "OPENAI_API_KEY": KEY},
            capture_output=True,
            text=True,
            check=False,
            timeout=150,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


def as_json(value: dict[str, Any]) -> dict[str, Any]:
    """A turn of the final model that answers in JSON."""
    return {"text": json.dumps(value)}
