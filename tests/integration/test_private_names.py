"""Without any one of the private names that the package rests on, calls are answered and somebody is told what is lost."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from composite_llm.backend import compat
from fake_server import running_in_thread
from tests.support.without_names import names

# The first of them waits until LiteLLM is loaded.
pytestmark = [pytest.mark.xdist_group("private names"), pytest.mark.timeout(180)]

ANSWER = "Arkadiko."


class Outcomes:
    """What came of a mixture and its stream in each case, in the order of the cases."""

    def __init__(self, lines: IO[str]) -> None:
        self._lines = lines
        self._known: dict[tuple[str, str], Any] = {}

    def of(self, mode: str, shown: str) -> Any:
        """That of one case, as soon as it is there."""
        while (mode, shown) not in self._known:
            *case, outcome = json.loads(next(self._lines))
            self._known[case[0], case[1]] = outcome
        return self._known[mode, shown]


@pytest.fixture(scope="module")
def outcomes() -> Iterator[Outcomes]:
    """One process for all cases."""
    with running_in_thread() as server:
        server.set_scenario("gpt-4o", {"text": ANSWER})
        command = [sys.executable, "-m", "tests.support.without_names", server.base_url]
        with subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            yield Outcomes(process.stdout)
            process.kill()


def test_the_installed_releases_lack_nothing_and_calls_go_around_the_sdk(outcomes: Outcomes) -> None:
    outcome = outcomes.of("nothing", "None")
    assert outcome.get("warnings") == [], outcome
    assert outcome["fast"]
    assert outcome["sent"] == outcome["requests"]


def test_a_mixture_and_a_stream_are_answered_where_all_functions_are_called_otherwise(outcomes: Outcomes) -> None:
    outcome = outcomes.of("changed", "None")
    assert "error" not in outcome, outcome["error"]
    assert (outcome["plain"], outcome["streamed"], outcome["degraded"]) == (ANSWER, ANSWER, [])
    assert not outcome["fast"]
    for name in names():
        if name.called is not None and name.belongs_to_this_release() and not name.owner.startswith("litellm.router"):
            assert any(f"no {name} as" in warning for warning in outcome["warnings"]), name


@pytest.mark.parametrize("name", names(), ids=str)
def test_a_mixture_and_a_stream_are_answered_without_it(name: compat.PrivateName, outcomes: Outcomes) -> None:
    outcome = outcomes.of("missing", str(name))
    assert "error" not in outcome, outcome["error"]
    assert (outcome["plain"], outcome["streamed"], outcome["degraded"]) == (ANSWER, ANSWER, [])
    assert outcome["fast"] is (name not in compat.FAST)
    if name.belongs_to_this_release():
        assert any(f"no {name} as" in warning and name.lost in warning for warning in outcome["warnings"])
