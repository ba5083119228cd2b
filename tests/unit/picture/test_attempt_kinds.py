from __future__ import annotations

import pytest

from composite_llm.picture.attempt_kinds import classified_attempts, eventful
from tests.support.benches import call_named
from tests.support.runs_to_show import mixture


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("steady", ["first"]),
        ("patient", ["first", "retry"]),
        ("hedged", ["first", "hedge"]),
        ("down", ["first", "fallback"]),
        ("the slow one", ["first"]),
    ],
)
def test_an_attempt_is_called_what_it_was(name: str, kinds: list[str]) -> None:
    assert [one.kind for one in classified_attempts(call_named(mixture(), name))] == kinds


def test_a_fallback_to_the_same_model_elsewhere_is_a_fallback() -> None:
    call = call_named(mixture(), "down")
    same = call.attempts[1].model_copy(update={"model": call.attempts[0].model})
    call = call.model_copy(update={"attempts": [call.attempts[0], same]})
    assert [one.kind for one in classified_attempts(call)] == ["first", "fallback"]


def test_there_is_nothing_to_tell_of_a_call_that_was_answered_at_once() -> None:
    assert [call.name for call in mixture().calls if not eventful(call)] == ["steady", "chief"]
