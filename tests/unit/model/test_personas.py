from __future__ import annotations

import pytest

from composite_llm.model.errors import InvalidOption
from composite_llm.model.personas import PERSONAS, ZERO_CONFIGURATION, persona_text


@pytest.mark.parametrize("name", PERSONAS)
def test_every_shipped_persona_can_be_named(name: str) -> None:
    assert persona_text(f"persona:{name}") == PERSONAS[name]
    assert len(PERSONAS[name].split()) > 15


@pytest.mark.parametrize(
    "written",
    ["persona:devils_advocate", "persona: Devil's Advocate", "persona:devils-advocate", "persona:DEVILS_ADVOCATE"],
)
def test_a_persona_is_found_however_it_is_written(written: str) -> None:
    assert persona_text(written) == PERSONAS["devils_advocate"]


def test_any_other_text_is_the_system_prompt_itself() -> None:
    assert persona_text("You are terse.") == "You are terse."


def test_an_unknown_persona_is_told_with_those_that_ship() -> None:
    with pytest.raises(InvalidOption, match=r"system: got 'persona:septic'; allowed: expert, .*\(nearest: skeptic,"):
        persona_text("persona:septic")


def test_a_council_that_names_no_members_gets_three_different_personas() -> None:
    assert len({PERSONAS[name] for name in ZERO_CONFIGURATION}) == 3
