"""A comparison with the real LiteLLM against the fake server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal

from composite_llm.evaluate import Bench, Question, Report, Scoring, Settings, generated_questions, report_of
from composite_llm.model.errors import InvalidOption
from fake_server import ThreadedServer

FINAL, FIRST, SECOND, THIRD = "openai/gpt-4.1", "openai/gpt-4.1-mini", "openai/gpt-4.1-nano", "openai/gpt-4o-mini"
QUESTIONS = generated_questions(8)
# So that a cap in the tests is about what is really spent.
SHORT = {"max_tokens": 20}


def knows(server: ThreadedServer, model: str, count: int, questions: list[Question] = QUESTIONS) -> None:
    """A model that answers the first so many rightly."""
    known = [
        {"contains": question.question, "then": {"text": f"Easy.\nAnswer: {question.answer}"}}
        for question in questions[:count]
    ]
    server.set_scenario(model.removeprefix("openai/"), {"text": "Hm.\nAnswer: 0", "by_content": known})


def options(server: ThreadedServer, **more: Any) -> dict[str, Any]:
    members = [{"model": name, **SHORT} for name in (FIRST, SECOND, THIRD)]
    return {"members": members, "api_base": server.base_url, "api_key": "k", **SHORT, **more}


def run(portal: BlockingPortal, bench: Bench, changed: Callable[[], object] = lambda: None) -> Report:
    portal.call(lambda: bench.run(changed))
    return report_of(bench)


def test_members_and_their_majority_come_from_the_composites_own_runs(
    server: ThreadedServer, portal: BlockingPortal
) -> None:
    for model, count in ((FINAL, 6), (FIRST, 4), (SECOND, 3), (THIRD, 3)):
        knows(server, model, count)
    bench = Bench(QUESTIONS, f"composite/council/{FINAL}", options(server))
    assert bench.price().requests == 16
    assert bench.price().calls == 8 * 8
    report = run(portal, bench)
    # Three answers, three reviews, one chairman, and the final model alone.
    assert len(server.ledger.records) == 8 * 8
    assert [(row.name, row.kind, row.right) for row in report.rows] == [
        (f"council/{FINAL}", "subject", 6),
        ("solo", "solo", 6),
        (FIRST, "member", 4),
        (SECOND, "member", 3),
        (THIRD, "member", 3),
        ("majority", "majority", 3),
    ]
    assert report.complete
    assert report.members is not None
    assert (report.members.runs, report.members.anybody_right, report.members.lost) == (8, 4, 0)
    assert (report.members.mended, report.members.mended_alone) == (3, 2)
    costs = {row.name: row.cost_usd for row in report.rows}
    assert costs["majority"] == pytest.approx(sum(costs[name] or 0 for name in (FIRST, SECOND, THIRD)))
    assert report.cost_usd == pytest.approx(report.spent_usd)
    assert report.cost_usd == pytest.approx(8 * ((costs[f"council/{FINAL}"] or 0) + (costs["solo"] or 0)))


def test_what_was_answered_is_not_asked_again_and_another_score_costs_nothing(
    server: ThreadedServer, portal: BlockingPortal, tmp_path: Path
) -> None:
    knows(server, FINAL, 5)
    kept = Settings(against=["solo", FIRST], results=tmp_path / "kept.jsonl", max_parallel=2)

    stopped = Bench(QUESTIONS, f"composite/moa/{FINAL}", options(server, members=None, proposers=[FIRST]), kept)
    stop, seen = asyncio.Event(), 0

    def after_five() -> None:
        nonlocal seen
        seen += 1
        if seen == 5:
            stop.set()

    assert not portal.call(lambda: stopped.run(after_five, stop=stop))
    assert not report_of(stopped).complete
    before = len(server.ledger.records)

    again = Bench(QUESTIONS, f"composite/moa/{FINAL}", options(server, members=None, proposers=[FIRST]), kept)
    assert again.price().requests + again.price().done == 24
    assert again.price().done == len(stopped.asked) >= 5
    report = run(portal, again)
    assert report.complete
    assert len(server.ledger.records) == 8 * 4
    assert len(server.ledger.records) > before

    scored_anew = Settings(against=["solo", FIRST], results=kept.results, scoring=Scoring("exact"))
    third = Bench(QUESTIONS, f"composite/moa/{FINAL}", options(server, members=None, proposers=[FIRST]), scored_anew)
    # The words `the answer alone` differ from `the number alone`: these are other questions.
    assert 0 < third.price().requests < 24


def test_failures_are_counted_apart_and_asked_again_later(
    server: ThreadedServer, portal: BlockingPortal, tmp_path: Path
) -> None:
    knows(server, FIRST, 8)
    server.set_scenario("gpt-4.1", {"error": {"status": 400}})
    server.set_scenario("gpt-4o-mini", {"error": {"status": 503}})
    kept = Settings(against=["solo", THIRD, "members"], results=tmp_path / "kept.jsonl")
    bench = Bench(QUESTIONS[:2], f"composite/moa/{FINAL}", options(server, members=None, proposers=[FIRST]), kept)
    report = run(portal, bench)
    assert [(row.name, row.questions, row.errors) for row in report.rows] == [
        (f"moa/{FINAL}", 0, 2),
        ("solo", 0, 2),
        (THIRD, 0, 2),
        # What it answered is in the trace of the error.
        (FIRST, 2, 0),
    ]
    assert sum(report.failures.values()) == 6
    knows(server, THIRD, 8)
    again = Bench(QUESTIONS[:2], f"composite/moa/{FINAL}", options(server, members=None, proposers=[FIRST]), kept)
    # A 503 may have passed, a 400 has not.
    assert {job.contestant.name for job in again._askings if job.key not in again.asked} == {THIRD}


def test_a_cap_holds_for_all_of_it_and_needs_prices(server: ThreadedServer, portal: BlockingPortal) -> None:
    knows(server, FINAL, 8)
    bench = Bench(
        QUESTIONS, f"composite/council/{FINAL}", options(server), Settings(max_cost_usd=0.004, max_parallel=8)
    )
    report = run(portal, bench)
    assert not report.complete
    assert 0 < report.spent_usd <= 0.004
    billed = len(server.ledger.records)
    assert 0 < billed < 64
    unpriced = "openai/nobody-knows-its-price"
    with pytest.raises(InvalidOption, match="has no known price"):
        Bench(QUESTIONS, f"composite/moa/{unpriced}", options(server, members=None), Settings(max_cost_usd=1.0))


@pytest.mark.usefixtures("no_cached_answers")
def test_each_repeat_is_answered_anew(server: ThreadedServer, portal: BlockingPortal) -> None:
    knows(server, FINAL, 8)
    settings = Settings(against=["members"], repeat=3)
    bench = Bench(QUESTIONS[:1], f"composite/moa/{FINAL}", options(server, members=None, proposers=[FIRST]), settings)
    report = run(portal, bench)
    assert len(server.ledger.records) == 3 * 2
    assert [row.noise_floor for row in report.rows] == [0.0, 0.0]


def test_a_judge_compares_in_both_orders_and_its_bias_is_seen(server: ThreadedServer, portal: BlockingPortal) -> None:
    server.set_scenario("gpt-4.1", {"text": "a good answer"})
    server.set_scenario("gpt-4.1-mini", {"text": "a poor answer"})
    first = {"contains": "answer A", "then": {"text": "Verdict: A"}}
    server.set_scenario("gpt-4o", {"text": "Verdict: A", "by_content": [first]})
    questions = [Question(id=str(number), question=f"Why {number}?") for number in range(3)]
    settings = Settings(against=["solo", "members", "majority"], judge="openai/gpt-4o")
    bench = Bench(questions, f"composite/moa/{FINAL}", options(server, members=None, proposers=[FIRST]), settings)
    report = run(portal, bench)
    assert report.judging is not None
    assert (report.judging.verdicts, report.judging.unread) == (3 * 2 * 2, 0)
    assert report.judging.first_preferred == 1.0
    assert report.judging.contradictions == 6
    assert [(one.against, one.wins, one.losses, one.ties) for one in report.preferences] == [
        ("solo", 0, 0, 3),
        (FIRST, 0, 0, 3),
    ]
    assert [row.name for row in report.rows] == [f"moa/{FINAL}", "solo", FIRST]


def test_a_judge_that_competes_is_refused_unless_it_is_allowed(server: ThreadedServer) -> None:
    settings = Settings(judge=FIRST)
    with pytest.raises(InvalidOption, match="competes itself"):
        Bench(QUESTIONS, f"composite/council/{FINAL}", options(server), settings)
    Bench(QUESTIONS, f"composite/council/{FINAL}", options(server), Settings(judge=FIRST, judge_may_compete=True))


@pytest.mark.parametrize(("against", "said"), [("sole", "nearest: 'solo'"), ("carful", "nearest: 'careful'")])
def test_an_unknown_contestant_is_refused(
    server: ThreadedServer, configure: Callable[[Any], None], against: str, said: str
) -> None:
    configure({"profiles": {"careful": {"strategy": "moa", "model": FINAL, "proposers": [FIRST]}}})
    with pytest.raises(InvalidOption, match=said):
        Bench(QUESTIONS, "composite/profile/careful", {}, Settings(against=[against]))


def test_a_profile_and_its_final_model_with_its_persona_compete(
    server: ThreadedServer, portal: BlockingPortal, configure: Callable[[Any], None]
) -> None:
    connection = {"api_base": server.base_url, "api_key": "k"}
    careful = {
        "strategy": "moa",
        "proposers": [FIRST],
        "aggregator": {"model": FINAL, "system": "Be careful."},
        **connection,
    }
    quick = {"strategy": "moa", "model": THIRD, "proposers": [SECOND], **connection}
    configure({"profiles": {"careful": careful, "quick": quick}})
    bench = Bench(QUESTIONS[:1], "composite/profile/careful", {}, Settings(against=["solo", "quick"]))
    report = run(portal, bench)
    assert [row.name for row in report.rows] == ["profile/careful", "solo", "quick"]
    alone = [
        record.body
        for record in server.ledger.records
        if record.model == "gpt-4.1" and len(record.body["messages"]) == 2
    ]
    assert any(body["messages"][0] == {"role": "system", "content": "Be careful."} for body in alone)
    assert {record.model for record in server.ledger.records} == {
        "gpt-4.1",
        "gpt-4.1-mini",
        "gpt-4.1-nano",
        "gpt-4o-mini",
    }
