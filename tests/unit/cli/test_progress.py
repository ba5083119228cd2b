"""The rows of a run, from the events of real runs in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from rich.text import Text

from composite_llm.cli.progress import Progress, Row
from composite_llm.cli.table import members_table, remarks
from composite_llm.model.errors import QuorumNotMet
from composite_llm.model.events import AttemptStarted, CallDone, Event, StageStarted
from composite_llm.observe.observer import Observers
from composite_llm.run import Services
from composite_llm.run.explanation import explain_plan
from tests.support.benches import Bench, bench
from tests.support.pages import Page
from tests.support.scripted_backend import Hang, Say, Script, ScriptedBackend, ScriptedFacts, failing

MODEL = "composite/moa/chief"


def shown(script: Script, told: Callable[[Event], None] | None = None, **options: Any) -> tuple[Bench, Progress]:
    progress = Progress(clock=lambda: asyncio.get_running_loop().time())
    if told is not None:
        progress.told = told
    services = Services(ScriptedBackend(script), ScriptedFacts(), observers=Observers([progress]))
    b = bench(MODEL, script, services=services, **options)
    progress.expect(explain_plan(b.run.plan, [{"role": "user", "content": "Why?"}], ScriptedFacts()))
    return b, progress


def rows(progress: Progress) -> dict[str, Row]:
    return {row.name: row for stage in progress.stages for row in stage.rows}


def states(progress: Progress) -> dict[str, str]:
    return {name: row.state for name, row in rows(progress).items()}


def drawn(progress: Progress, now: float = 0, columns: int = 80) -> list[str]:
    page = Page(columns, 60)
    page.console.print(members_table(progress, now, columns))
    for remark in remarks(progress):
        page.console.print(remark)
    return page.shown


def test_everybody_who_will_be_asked_has_a_row_from_the_start() -> None:
    _, progress = shown({}, proposers=["a", "b"])
    assert [(stage.name, [row.name for row in stage.rows]) for stage in progress.stages] == [
        ("propose", ["a", "b"]),
        ("aggregate", ["chief"]),
    ]
    assert set(states(progress).values()) == {"waiting"}


async def test_a_row_waits_writes_and_is_done() -> None:
    seen: list[tuple[type[Event], dict[str, str]]] = []

    script: Script = {"a": Say("alpha", after=2), "b": Say("beta", after=3), "chief": Say("The| answer")}
    b, progress = shown(script, lambda event: seen.append((type(event), states(progress))), proposers=["a", "b"])
    await b.items()
    moments = [found for kind, found in seen if kind in (StageStarted, AttemptStarted, CallDone)]
    assert moments == [
        {"a": "waiting", "b": "waiting", "chief": "waiting"},
        {"a": "writing", "b": "waiting", "chief": "waiting"},
        {"a": "writing", "b": "writing", "chief": "waiting"},
        {"a": "done", "b": "writing", "chief": "waiting"},
        {"a": "done", "b": "done", "chief": "waiting"},
        {"a": "done", "b": "done", "chief": "waiting"},
        {"a": "done", "b": "done", "chief": "writing"},
        {"a": "done", "b": "done", "chief": "done"},
    ]
    a = rows(progress)["a"]
    assert (a.seconds, a.usage and a.usage.total_tokens, a.cost_usd, a.attempts) == (2, 15, 0.25, 1)
    assert progress.trace == b.trace


async def test_a_call_that_waits_for_its_turn_is_waiting() -> None:
    seen: list[dict[str, str]] = []
    script: Script = {"a": Say(after=1), "b": Say(after=1), "chief": Say()}
    b, progress = shown(script, lambda _: seen.append(states(progress)), proposers=["a", "b"], max_parallel=1)
    await b.run.reply()
    assert {"a": "writing", "b": "waiting", "chief": "waiting"} in seen
    assert {"a": "done", "b": "writing", "chief": "waiting"} in seen
    assert {"a": "writing", "b": "writing", "chief": "waiting"} not in seen


async def test_what_failed_says_why_and_what_answered_in_its_place_says_who() -> None:
    script: Script = {"a": failing("rejected", "wrong key"), "b": failing("rejected"), "c": Say(), "chief": Say()}
    b, progress = shown(script, proposers=["a", {"model": "b", "fallbacks": ["c"]}])
    await b.run.reply()
    assert states(progress) == {"a": "failed", "b": "done", "chief": "done"}
    assert rows(progress)["b"].note == "answered by c"
    assert "✗ propose: a: wrong key" in drawn(progress)
    assert any(line.startswith("! fallback_used: b") for line in drawn(progress))


async def test_what_the_provider_said_stands_below_what_failed() -> None:
    script: Script = {
        "a": failing("rejected", "wrong", provider_message="n is 1 \x1b[2Jhere"),
        "b": Say(),
        "chief": Say(),
    }
    b, progress = shown(script, proposers=["a", "b"])
    await b.run.reply()
    lines = drawn(progress)
    place = lines.index("✗ propose: a: wrong")
    assert lines[place + 1].strip().startswith("the provider said: n is 1 ")
    assert "\x1b" not in "".join(lines)


async def test_a_straggler_is_dropped() -> None:
    b, progress = shown({"a": Say(), "b": Hang(), "chief": Say()}, proposers=["a", "b"], straggler_grace_s=5)
    await b.run.reply()
    assert states(progress)["b"] == "dropped"
    assert rows(progress)["b"].seconds == 5


async def test_a_run_that_fails_leaves_its_rows_as_they_ended() -> None:
    b, progress = shown({"a": failing("rejected"), "b": Hang()}, proposers=["a", "b"], quorum=2)
    with pytest.raises(QuorumNotMet):
        await b.run.reply()
    assert states(progress) == {"a": "failed", "b": "dropped", "chief": "waiting"}


async def test_a_run_that_is_made_smaller_shows_only_who_is_asked() -> None:
    b, progress = shown({"a": Say(), "chief": Say()}, proposers=["a", "b"], max_calls=2)
    await b.run.reply()
    assert states(progress) == {"a": "done", "chief": "done"}
    assert any("budget_reduced" in line for line in drawn(progress))


async def test_the_table_shows_seconds_tokens_and_money_where_there_is_room() -> None:
    b, progress = shown({"a": Say(after=2), "chief": Say()}, proposers=["a"])
    await b.run.reply()
    wide, narrow = drawn(progress), drawn(progress, columns=60)
    assert [line.split() for line in wide] == [
        ["Proposals"],
        ["✓", "a", "done", "2.0", "s", "15", "tok", "$0.250000"],
        ["Aggregation"],
        ["✓", "chief", "done", "0.0", "s", "15", "tok", "$0.250000"],
    ]
    assert [line.split() for line in narrow][1] == ["✓", "a", "done", "2.0", "s", "15", "tok"]


async def test_what_is_worth_knowing_of_the_plan_is_said() -> None:
    b, progress = shown({"chief": Say()})
    await b.run.reply()
    assert "Self-MoA: 3 samples of chief" in drawn(progress)


@pytest.mark.parametrize("columns", [30, 60, 100])
def test_long_names_keep_their_end_and_the_table_its_width(columns: int) -> None:
    progress = Progress()
    progress.run_event(None, StageStarted("propose", ("provider/with-a-very-long-name-" * 5 + "small",)))
    (_, line) = drawn(progress, columns=columns)
    assert "-small  wait" in line
    assert len(line) <= columns


def test_control_characters_of_a_model_do_not_reach_the_terminal() -> None:
    progress = Progress(stages=[])
    row = Row("a\x1b[2J\x07", state="failed", note="\x1b]0;title\x07 no\x9b luck")
    progress.run_event(None, StageStarted("propose", ()))
    progress.stages[0].rows = [row]
    cells = [str(cell) for cell in remarks(progress)]
    assert cells == ["✗ propose: a[2J: ]0;title no luck"]
    assert isinstance(remarks(progress)[0], Text)
    assert drawn(progress)[1].split() == ["✗", "a[2J", "failed"]
