"""What one running server knows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fake_server.book import ScenarioBook
from fake_server.ledger import Ledger
from fake_server.rules import Signatures
from fake_server.scenario import parse_scenarios


@dataclass(slots=True)
class State:
    """The scenarios, the ledger, the key and the signatures of one server."""

    book: ScenarioBook
    api_key: str | None = None
    ledger: Ledger = field(default_factory=Ledger)
    signatures: Signatures = field(default_factory=Signatures)
    closing: bool = False


def make_state(scenarios: Mapping[str, Mapping[str, Any]] | None, api_key: str | None) -> State:
    """Return the state of a server that starts.

    Raises:
        ScenarioError: when a scenario is wrong.
    """
    return State(ScenarioBook(parse_scenarios(scenarios)), api_key)
