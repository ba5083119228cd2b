"""The scenarios in force: which one a request gets, and how many requests each has seen."""

import hashlib
import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, Literal

from fake_server.request import ChatRequest
from fake_server.rules import Refusal, Signatures, refusal_of
from fake_server.rules.window import too_long
from fake_server.scenario import Scenario

_GLOB_CHARS = re.compile(r"[*?\[]")
Counter = Literal["sequence", "says", "error", "texts"]


class Entry:
    """One scenario of the book with its counters; replaced as a whole, so that counting starts afresh."""

    __slots__ = ("_counts", "scenario")

    def __init__(self, scenario: Scenario) -> None:
        """Start all counts at zero."""
        self.scenario = scenario
        self._counts: dict[tuple[str, int, Counter], int] = {}

    def advance(self, model: str, node: Scenario, counter: Counter, step: int = 1) -> int:
        """Return the count before this step; every model of a pattern has counts of its own."""
        key = (model, id(node), counter)
        before = self._counts.get(key, 0)
        self._counts[key] = before + step
        return before


class Turn:
    """The scenario that one request got, or the refusal of it."""

    __slots__ = ("_entry", "_model", "refusal", "scenario", "signatures")

    def __init__(self, entry: Entry, request: ChatRequest, signatures: Signatures) -> None:
        """Choose by content, by position in sequences, and by what the rules leave to be answered."""
        self._entry = entry
        self._model = request.model
        self.signatures = signatures
        self.scenario = self._choose(entry.scenario, request.text)
        self.refusal = _refusal(self.scenario, request, signatures)
        steps = self.scenario.steps
        if steps and self.refusal is None:
            self.scenario = steps[min(self._count(self.scenario, "says"), len(steps) - 1)]

    def _choose(self, node: Scenario, text: str) -> Scenario:
        while True:
            found = _matching(node, text)
            if found is not None:
                node = found
            elif node.sequence is not None:
                node = node.sequence[min(self._count(node, "sequence"), len(node.sequence) - 1)]
            else:
                return node

    def _count(self, node: Scenario, counter: Counter) -> int:
        return self._entry.advance(self._model, node, counter)

    def fails(self) -> bool:
        """Tell whether this request gets the error of the scenario."""
        scenario = self.scenario
        if scenario.error_rate is None:
            return scenario.error is not None
        number = self._entry.advance(self._model, scenario, "error")
        return _fraction(f"{scenario.seed}\0{self._model}\0{number}") < scenario.error_rate

    def take_texts(self, count: int) -> list[str] | None:
        """Return the next texts, one for each choice, or None when the scenario has no list of them."""
        texts = self.scenario.texts
        if texts is None:
            return None
        first = self._entry.advance(self._model, self.scenario, "texts", count)
        return [texts[(first + offset) % len(texts)] for offset in range(count)]


class ScenarioBook:
    """Scenarios by model name; every change replaces the table, so another thread may make it."""

    def __init__(self, initial: Mapping[str, Scenario]) -> None:
        """Take the scenarios of the start."""
        self._initial = dict(initial)
        self._table: dict[str, Entry] = {}
        self._found: dict[str, Entry] = {}
        self.reset()

    def reset(self) -> None:
        """Go back to the scenarios of the start, with fresh counts."""
        self._replace({name: Entry(scenario) for name, scenario in self._initial.items()})

    def set(self, name: str, scenario: Scenario) -> None:
        """Set the scenario of a model or pattern, with fresh counts."""
        self._replace({**self._table, name: Entry(scenario)})

    def remove(self, name: str) -> bool:
        """Remove a scenario; False when there was none."""
        known = name in self._table
        self._replace({key: entry for key, entry in self._table.items() if key != name})
        return known

    def turn(self, request: ChatRequest, signatures: Signatures) -> Turn:
        """Return what the next request of a model gets."""
        return Turn(self._entry(request.model), request, signatures)

    def scenario(self, model: str) -> Scenario:
        """Return the scenario of a model, before anything is chosen in it."""
        return self._entry(model).scenario

    def _entry(self, model: str) -> Entry:
        found = self._found
        entry = found.get(model)
        if entry is None:
            entry = found[model] = self._look_up(model)
        return entry

    def names(self) -> list[str]:
        """Return the names that are models, not patterns."""
        return [name for name in self._table if not _GLOB_CHARS.search(name)]

    def dump(self) -> dict[str, dict[str, Any]]:
        """Return the scenarios as they were given."""
        return {name: entry.scenario.model_dump(exclude_unset=True) for name, entry in self._table.items()}

    def _replace(self, table: dict[str, Entry]) -> None:
        self._table = table
        self._found = {}

    def _look_up(self, model: str) -> Entry:
        table = self._table
        if model in table:
            return table[model]
        patterns = [name for name in table if fnmatchcase(model, name)]
        return table[max(patterns, key=_literal_chars)] if patterns else Entry(Scenario())


def _literal_chars(pattern: str) -> tuple[int, str]:
    return len(_GLOB_CHARS.sub("", pattern)), pattern


def _matching(node: Scenario, text: str) -> Scenario | None:
    return next((rule.then for rule in node.by_content or () if rule.contains in text), None)


def _refusal(scenario: Scenario, request: ChatRequest, signatures: Signatures) -> Refusal | None:
    refusal = refusal_of(scenario.rules, request, signatures) if scenario.rules else None
    if refusal is None and scenario.context_window is not None:
        refusal = too_long(scenario.context_window, request, scenario.served_by)
    return refusal


def _fraction(seed: str) -> float:
    digest = hashlib.sha256(seed.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
