"""What an endpoint does not take is left out once, and remembered when that was the cure."""

from __future__ import annotations

from typing import Any

import pytest

from composite_llm.backend.interface import AttemptRequest, Message
from composite_llm.engine.endpoint_refusals import MAX_AGE_S, MAX_ENTRIES, EndpointRefusals
from composite_llm.model.errors import Failure, Restriction
from tests.support.benches import QUESTION, bench
from tests.support.scripted_backend import Fail, Say, failing

MODEL = "composite/moa/chief"
TWICE: list[Message] = [{"role": "system", "content": "Be short."}, *QUESTION, *QUESTION]
TEMPLATES: dict[str, tuple[Restriction, ...]] = {
    "turns": ("strict_turns",),
    "no system": ("no_system_role",),
    "both": ("no_system_role", "strict_turns"),
}


def strict(*rules: Restriction, complaint: Restriction | None = None) -> Any:
    """A model whose template has these rules; with `complaint`, that is all that it ever says."""

    def step(request: AttemptRequest) -> Say | Fail:
        roles = [message["role"] for message in request.messages]
        turns = roles[1:] if roles[0] == "system" else roles
        broken = {
            "strict_turns": any(role != "assistant" if at % 2 else role != "user" for at, role in enumerate(turns)),
            "no_system_role": "system" in roles,
        }
        found = next((rule for rule in rules if broken[rule]), None)
        return Fail(Failure("rejected", "no", restriction=complaint or found)) if found else Say("fine")

    return step


async def asked(script: Any, form: str, **more: Any) -> Any:
    b = bench(MODEL, script, TWICE, proposers=["p"], **more)
    if form == "plain":
        await b.text()
    else:
        await b.items()
    return b


@pytest.mark.parametrize("form", ["plain", "streamed"])
@pytest.mark.parametrize("template", TEMPLATES)
async def test_a_refusal_is_cured_once_and_remembered_for_the_model(template: str, form: str) -> None:
    rules = TEMPLATES[template]
    b = await asked({"p": strict(*rules), "chief": strict(*rules)}, form)
    assert b.trace.degraded == []
    for name in ("p", "chief"):
        assert len(b.backend.asked(name)) == 1 + len(rules)
    again = await asked({}, form, services=b.services)
    assert [request.model for request in again.backend.requests[-2:]] == ["p", "chief"]
    assert len(again.backend.requests) == 2 * (1 + len(rules)) + 2


async def test_a_template_that_counts_the_system_among_the_turns_is_met_too() -> None:
    b = await asked({"p": strict("strict_turns", "no_system_role", complaint="strict_turns"), "chief": "done"}, "plain")
    assert b.trace.degraded == []
    assert [message["role"] for message in b.backend.prompts("p")[-1]] == ["user"]


async def test_no_try_of_the_node_is_used_up_and_nothing_is_waited_for() -> None:
    b = bench(
        MODEL, {"p": strict("strict_turns"), "chief": "done"}, TWICE, proposers=[{"model": "p", "num_retries": 0}]
    )
    assert await b.text() == "done"
    assert b.backend.times == [b.backend.times[0]] * 3


@pytest.mark.parametrize("restriction", ["strict_turns", "no_system_role", "no_response_format"])
async def test_what_does_not_help_is_tried_once_and_not_remembered(restriction: Restriction) -> None:
    b = bench(
        MODEL, {"p": failing("rejected", restriction=restriction), "q": "fine", "chief": "done"}, proposers=["p", "q"]
    )
    await b.text()
    assert len(b.backend.asked("p")) <= 2
    assert b.services.endpoint_refusals.restrictions("p", "p:443") == frozenset()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_was_learnt_is_forgotten_after_a_while_and_never_too_much() -> None:
    clock = Clock()
    endpoint_refusals = EndpointRefusals(clock)
    endpoint_refusals.learn("m", "host:1", {"strict_turns"})
    endpoint_refusals.learn("m", "host:1", {"no_system_role"}, 100)
    endpoint_refusals.learn("m", "host:1", ())
    assert endpoint_refusals.restrictions("m", "host:1") == {"strict_turns", "no_system_role"}
    assert endpoint_refusals.window("m", "host:1") == 100
    assert endpoint_refusals.restrictions("m", "host:2") == endpoint_refusals.restrictions("n", "host:1") == frozenset()
    clock.now = MAX_AGE_S + 1
    assert endpoint_refusals.restrictions("m", "host:1") == frozenset()
    assert endpoint_refusals.window("m", "host:1") is None
    for number in range(MAX_ENTRIES + 5):
        endpoint_refusals.learn(f"m{number}", None, {"strict_turns"})
    assert endpoint_refusals.restrictions("m4", None) == frozenset()
    assert endpoint_refusals.restrictions("m5", None) == {"strict_turns"}
    endpoint_refusals.reset()
    assert endpoint_refusals.restrictions("m9", None) == frozenset()
