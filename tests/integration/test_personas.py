"""Personas by name, on every kind of node."""

from __future__ import annotations

import litellm
import pytest

import composite_llm
from composite_llm.model.personas import PERSONAS, ZERO_CONFIGURATION
from fake_server import ThreadedServer
from tests.support import wire
from tests.support.asking import COUNCIL, FIRST, MESSAGES, SECOND, THIRD, Ask, at

SYSTEM = {"role": "system", "content": "You are terse."}


def prompt(name: str) -> dict[str, str]:
    return {"role": "system", "content": PERSONAS[name]}


def test_a_persona_by_name_is_a_system_prompt_after_the_callers_own(ask: Ask, server: ThreadedServer) -> None:
    ask(
        COUNCIL,
        messages=[SYSTEM, *MESSAGES],
        members=[
            {"model": FIRST, "system": "persona:skeptic"},
            {"model": SECOND, "system": "persona: Devil's Advocate"},
        ],
        reviewers=[{"model": THIRD, "system": "persona:engineer"}],
        chairman={"system": "persona:pragmatist"},
    )
    expected = {
        "gpt-4o-mini": "skeptic",
        "gpt-4.1-mini": "devils_advocate",
        "gpt-4.1-nano": "engineer",
        "gpt-4o": "pragmatist",
    }
    for model, persona in expected.items():
        system, question = wire.body(server, model)["messages"][:2]
        assert system == {"role": "system", "content": f"{SYSTEM['content']}\n\n{PERSONAS[persona]}"}
        assert question == MESSAGES[0]


def test_a_council_without_configuration_is_made_of_three_personas(ask_both: Ask, server: ThreadedServer) -> None:
    answer = ask_both(COUNCIL)
    calls = composite_llm.get_trace(answer).calls
    names = [f"openai/gpt-4o as {persona}" for persona in ZERO_CONFIGURATION]
    assert [call.name for call in calls if call.stage == "answer"] == names
    members, reviewers = server.ledger.records[:3], server.ledger.records[3:6]
    for stage in (members, reviewers):
        first = [record.body["messages"][0] for record in stage]
        assert sorted(map(str, first)) == sorted(str(prompt(persona)) for persona in ZERO_CONFIGURATION)
    assert server.ledger.records[6].body["messages"][0] == MESSAGES[0]


def test_a_fallback_plays_its_nodes_persona(ask: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o-mini", {"error": {"status": 400}})
    ask(proposers=[at(server, FIRST, num_retries=0, system="persona:creative", fallbacks=[at(server, SECOND)])])
    assert wire.body(server, "gpt-4.1-mini")["messages"][0] == prompt("creative")


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"proposers": [{"model": FIRST, "system": "persona:septic"}]}, id="proposer"),
        pytest.param({"proposers": [FIRST], "aggregator": {"system": "persona:septic"}}, id="aggregator"),
    ],
)
def test_an_unknown_persona_is_named_before_any_call(
    options: dict[str, object], ask: Ask, server: ThreadedServer
) -> None:
    with pytest.raises(litellm.BadRequestError, match=r"got 'persona:septic'.*nearest: skeptic"):
        ask(**options)
    assert server.ledger.records == []
