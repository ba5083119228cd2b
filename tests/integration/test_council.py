"""A council end to end: anonymous answers, ballots in every form, the vote, and the chairman."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

import composite_llm
from fake_server import ThreadedServer
from tests.support import wire
from tests.support.asking import COUNCIL, FINAL, FIRST, MESSAGES, SECOND, THIRD, Ask

MEMBERS = {"ada": "gpt-4o-mini", "bob": "gpt-4.1-mini", "cyd": "gpt-4.1-nano"}
NODES = [
    {"model": FIRST, "name": "ada"},
    {"model": SECOND, "name": "bob"},
    {"model": THIRD, "name": "cyd"},
]
REVIEWING = "You are reviewing"
SAID = {name: f"{name.upper()}'S ANSWER" for name in MEMBERS}


def reviewers(*models: str) -> list[str]:
    return [f"openai/reviewer-{model}" for model in models]


def shown_order(messages: list[dict[str, Any]]) -> list[str]:
    """Who stands behind Response A, B, C in a reviewer's prompt."""
    prompt = messages[-1]["content"]
    places = {name: prompt.index(text) for name, text in SAID.items() if text in prompt}
    return sorted(places, key=lambda name: places[name])


@pytest.fixture(autouse=True)
def _answers(server: ThreadedServer) -> None:
    for name, model in MEMBERS.items():
        review = {"contains": REVIEWING, "then": {"text": "FINAL RANKING: Response A > Response B > Response C"}}
        server.set_scenario(model, {"text": SAID[name], "by_content": [review]})
    server.set_scenario("gpt-4o", {"text": "The council's answer."})


def test_members_answer_then_review_and_the_chairman_is_asked_once(ask_both: Ask, server: ThreadedServer) -> None:
    answer = ask_both(COUNCIL, members=NODES)
    asked = wire.models(server)
    assert sorted(map(str, asked[:3])) == sorted(map(str, asked[3:6])) == sorted(MEMBERS.values())
    assert asked[6:] == ["gpt-4o"]
    trace = composite_llm.get_trace(answer)
    assert [call.stage for call in trace.calls] == ["answer"] * 3 + ["review"] * 3 + ["synthesize"]
    assert [call.role for call in trace.calls] == ["member"] * 3 + ["reviewer"] * 3 + ["chairman"]
    assert trace.strategy == "council"
    assert answer.choices[0].message.content == "The council's answer."


def test_without_members_three_personas_of_the_chairmans_model_sit(ask: Ask, server: ThreadedServer) -> None:
    answer = ask(COUNCIL)
    assert wire.models(server) == ["gpt-4o"] * 7
    names = [call.name for call in composite_llm.get_trace(answer).calls]
    assert names[:3] == [f"{FINAL} as {persona}" for persona in ("expert", "skeptic", "pragmatist")]
    personas = {record.body["messages"][0]["content"] for record in server.ledger.records[:3]}
    assert len(personas) == 3


def test_reviewers_see_every_answer_without_its_author_in_an_order_of_their_own(
    ask: Ask, server: ThreadedServer
) -> None:
    ask(COUNCIL, members=NODES, reviewers=reviewers(*"123456"), seed=3)
    prompts = [record.body["messages"] for record in server.ledger.records if "reviewer" in str(record.model)]
    assert len(prompts) == 6
    orders = {tuple(shown_order(messages)) for messages in prompts}
    assert len(orders) > 1
    for messages in prompts:
        assert sorted(shown_order(messages)) == sorted(MEMBERS)
        text = messages[-1]["content"]
        assert all(f"<<<Response {letter} " in text for letter in "ABC")
        assert not re.search(r"\b(ada|bob|cyd)\b|gpt-4", text)


@pytest.mark.parametrize("seeded", [True, False], ids=["seed", "derived from the request"])
def test_the_same_request_shuffles_the_same_way(seeded: bool, ask: Ask, server: ThreadedServer) -> None:
    seen = []
    for _ in range(2):
        server.ledger.clear()
        ask(COUNCIL, members=NODES, reviewers=reviewers(*"1234"), **({"seed": 5} if seeded else {}))
        seen.append(
            {
                record.model: shown_order(record.body["messages"])
                for record in server.ledger.records
                if "reviewer" in str(record.model)
            }
        )
    assert seen[0] == seen[1]


FORMS: dict[str, str] = {
    "json object": '{"reviews": {"Response A": "fine"}, "ranking": ["Response %s", "Response %s", "Response %s"]}',
    "json in a fence": 'My view:\n```json\n{"ranking": ["Response %s", "Response %s", "Response %s"]}\n```',
    "json with short labels": '{"ranking": ["%s", "%s", "%s"]}',
    "final ranking list": "Thoughts.\n\nFINAL RANKING:\n1. Response %s\n2. Response %s\n3. Response %s",
    "final ranking chain": "FINAL RANKING: Response %s > Response %s > Response %s",
    "ranks by label": '{"ranking": {"Response %s": 1, "Response %s": 2, "Response %s": 3}}',
    "scores": '{"scores": {"%s": 9, "%s": 7, "%s": 2}}',
    "with reasoning tags": '<think>Response C is bad</think>{"ranking": ["Response %s", "Response %s", "Response %s"]}',
}


@pytest.mark.parametrize("form", FORMS)
def test_a_ballot_counts_in_the_form_of(form: str, ask: Ask, server: ThreadedServer) -> None:
    wanted = ["cyd", "ada", "bob"]
    # The fake server cannot see who stands behind a label, so the order shown is read first; the shuffle repeats itself.
    options: dict[str, Any] = {"members": NODES, "reviewers": reviewers("1"), "seed": 9}
    ask(COUNCIL, **options)
    shown = shown_order(wire.body(server, "reviewer-1")["messages"])
    letters = tuple("ABC"[shown.index(name)] for name in wanted)
    server.set_scenario("reviewer-1", {"text": FORMS[form] % letters})
    ranking = composite_llm.get_trace(ask(COUNCIL, **options)).ranking
    assert ranking is not None
    assert ranking.order == wanted
    assert ranking.ballots[0].ranking == wanted
    assert ranking.ballots[0].problems == []
    assert [row.first_places for row in ranking.table] == [1, 0, 0]


def _vote(server: ThreadedServer, ask: Ask, ballots: dict[str, list[str]], **options: Any) -> Any:
    """One council whose reviewers vote as given, by the members' names."""
    wishes: dict[str, Any] = {"members": NODES, "reviewers": reviewers(*ballots), "seed": 9, **options}
    ask(COUNCIL, **wishes)
    for name, order in ballots.items():
        shown = shown_order(wire.body(server, f"reviewer-{name}")["messages"])
        labels = [f"Response {'ABC'[shown.index(member)]}" for member in order]
        reviews = {label: f"on {member}" for label, member in zip(labels, order, strict=True)}
        text = json.dumps({"reviews": reviews, "ranking": labels})
        server.set_scenario(f"reviewer-{name}", {"text": text if order else "I cannot decide."})
    server.ledger.clear()
    return ask(COUNCIL, **wishes)


@pytest.mark.parametrize("method", ["borda", "mean_position", "copeland"])
def test_the_vote_is_counted_and_stands_in_the_trace(method: str, ask: Ask, server: ThreadedServer) -> None:
    ballots = {"1": ["bob", "ada", "cyd"], "2": ["bob", "cyd", "ada"], "3": ["bob", "ada", "cyd"]}
    answer = _vote(server, ask, ballots, ranking=method)
    ranking = composite_llm.get_trace(answer).ranking
    assert ranking is not None
    assert ranking.method == method
    assert ranking.order == ["bob", "ada", "cyd"]
    assert [(row.rank, row.first_places) for row in ranking.table] == [(1, 3), (2, 0), (3, 0)]
    assert [row.mean_position for row in ranking.table] == pytest.approx([1.0, 7 / 3, 8 / 3])
    assert [row.label for row in ranking.table] == ["Response B", "Response A", "Response C"]
    # Kendall's W by hand: rank sums 3, 7, 8; S = 14; W = 12 * 14 / (9 * 24).
    assert ranking.agreement == pytest.approx(12 * 14 / (9 * 24))
    assert ranking.dissent == []


def test_full_agreement_is_one_and_the_table_is_in_the_reasoning(ask: Ask, server: ThreadedServer) -> None:
    answer = _vote(server, ask, {reviewer: ["cyd", "bob", "ada"] for reviewer in "12"})
    shown = answer.choices[0].message.reasoning_content
    assert [line for line in shown.splitlines() if re.match(r"\d\. ", line)] == [
        "1. cyd: 1.00, mean place 1.00, 2 first",
        "2. bob: 0.50, mean place 2.00, 0 first",
        "3. ada: 0.00, mean place 3.00, 0 first",
    ]
    assert "Vote (borda, 2 ballots)" in shown
    assert "Agreement (Kendall's W): 1.00" in shown


def test_a_lone_champion_is_reported_as_dissent(ask: Ask, server: ThreadedServer) -> None:
    ballots = {reviewer: ["ada", "bob", "cyd"] for reviewer in "1234"} | {"5": ["cyd", "ada", "bob"]}
    answer = _vote(server, ask, ballots)
    ranking = composite_llm.get_trace(answer).ranking
    assert ranking is not None
    assert [(found.name, found.champions, found.rank) for found in ranking.dissent] == [
        ("cyd", ["openai/reviewer-5"], 3)
    ]
    assert "Dissent" in answer.choices[0].message.reasoning_content


def test_the_chairman_gets_answers_reviews_and_vote_without_names(ask: Ask, server: ThreadedServer) -> None:
    _vote(server, ask, {reviewer: ["bob", "cyd", "ada"] for reviewer in "12"}, criteria="kindness")
    question, note = wire.body(server, "gpt-4o")["messages"]
    assert question == MESSAGES[0]
    text = note["content"]
    for name in MEMBERS:
        assert SAID[name] in text
        assert f"on {name}" in text
    assert "kindness" in text
    assert "1. Response B" in text
    assert not re.search(r"reviewer-\d|gpt-4", text)
    # Labels in the reviews are the ones that all share, not each reviewer's own.
    assert "Response A: on ada" in text
    assert "Response B: on bob" in text
    assert "Response C: on cyd" in text


def test_the_chairman_gets_a_system_block_on_demand(ask: Ask, server: ThreadedServer) -> None:
    ask(COUNCIL, members=NODES, reference_placement="system")
    roles = [message["role"] for message in wire.body(server, "gpt-4o")["messages"]]
    assert roles == ["system", "user"]


@pytest.mark.parametrize("exclude_self", [True, False])
def test_a_reviewers_vote_for_itself_counts_only_on_demand(
    exclude_self: bool, ask: Ask, server: ThreadedServer
) -> None:
    options: dict[str, Any] = {"members": NODES, "seed": 4, "exclude_self": exclude_self}
    ask(COUNCIL, **options)
    wishes = {"ada": ["ada", "bob", "cyd"], "bob": ["bob", "cyd", "ada"], "cyd": ["ada", "cyd", "bob"]}
    for name, order in wishes.items():
        shown = shown_order(wire.records(server, MEMBERS[name])[1].body["messages"])
        ballot = " > ".join(f"Response {'ABC'[shown.index(member)]}" for member in order)
        review = {"contains": REVIEWING, "then": {"text": f"FINAL RANKING: {ballot}"}}
        server.set_scenario(MEMBERS[name], {"text": SAID[name], "by_content": [review]})
    ranking = composite_llm.get_trace(ask(COUNCIL, **options)).ranking
    assert ranking is not None
    listed = {ballot.reviewer: ballot.ranking for ballot in ranking.ballots}
    if exclude_self:
        assert listed == {"ada": ["bob", "cyd"], "bob": ["cyd", "ada"], "cyd": ["ada", "bob"]}
    else:
        assert listed == wishes


def test_a_reviewer_who_does_not_rank_abstains_and_that_is_said(ask: Ask, server: ThreadedServer) -> None:
    answer = _vote(server, ask, {"1": ["ada", "bob", "cyd"], "2": []})
    trace = composite_llm.get_trace(answer)
    assert trace.ranking is not None
    assert [ballot.abstained for ballot in trace.ranking.ballots] == [False, True]
    assert trace.ranking.order == ["ada", "bob", "cyd"]
    assert trace.degraded == ["review_abstained: openai/reviewer-2"]


def test_a_council_goes_on_without_any_ballot(ask: Ask, server: ThreadedServer) -> None:
    answer = _vote(server, ask, {"1": [], "2": []})
    trace = composite_llm.get_trace(answer)
    assert trace.ranking is None
    assert any(reason.startswith("no_ballot: ") for reason in trace.degraded)
    assert answer.choices[0].message.content == "The council's answer."
    assert "The vote, best first" not in wire.body(server, "gpt-4o")["messages"][-1]["content"]


def test_a_failed_member_is_neither_reviewed_nor_ranked_but_still_reviews(ask: Ask, server: ThreadedServer) -> None:
    review = {"contains": REVIEWING, "then": {"text": "FINAL RANKING: Response A > Response B"}}
    server.set_scenario("gpt-4.1-mini", {"error": {"status": 400, "message": "POISON"}, "by_content": [review]})
    answer = ask(COUNCIL, members=NODES)
    trace = composite_llm.get_trace(answer)
    assert trace.ranking is not None
    assert sorted(trace.ranking.order) == ["ada", "cyd"]
    assert "bob" in [ballot.reviewer for ballot in trace.ranking.ballots]
    assert all("POISON" not in json.dumps(record.body) for record in server.ledger.records)
    assert len(trace.degraded) == 1


def test_one_answer_alone_is_not_reviewed(ask: Ask, server: ThreadedServer) -> None:
    for model in ("gpt-4.1-mini", "gpt-4.1-nano"):
        server.set_scenario(model, {"error": {"status": 400}})
    answer = ask(COUNCIL, members=NODES)
    assert len(wire.models(server)) == 4
    trace = composite_llm.get_trace(answer)
    assert trace.ranking is None
    assert len(trace.degraded) == 3


def test_criteria_reach_reviewers_and_chairman_alone(ask: Ask, server: ThreadedServer) -> None:
    ask(COUNCIL, members=NODES, criteria="CRITERION-7")
    holds = ["CRITERION-7" in json.dumps(record.body) for record in server.ledger.records]
    assert holds == [False] * 3 + [True] * 4


def test_two_members_of_the_same_name_stay_apart_in_the_vote(ask: Ask, server: ThreadedServer) -> None:
    answer = ask(COUNCIL, members=[FIRST, FIRST], reviewers=[SECOND])
    ranking = composite_llm.get_trace(answer).ranking
    assert ranking is not None
    assert sorted(ranking.order) == [f"{FIRST} #1", f"{FIRST} #2"]
