from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from composite_llm.backend.interface import AttemptRequest
from tests.support.benches import QUESTION, Bench, bench, streamed_text
from tests.support.scripted_backend import Fail, Hang, Say, Script, failing

MODEL = "composite/council/chair"
MEMBERS = ["ant", "bee", "cow", "dog"]
FENCED = re.compile(r"<<<(Response [A-Z]+) \w+>>>\n(.*?)\n<<<end of", re.DOTALL)


def is_review(request: AttemptRequest) -> bool:
    return bool(request.metadata["composite_stage"] == "review")


def shown(request: AttemptRequest) -> dict[str, str]:
    """The answers by the labels that this reviewer sees."""
    return dict(FENCED.findall(str(request.messages[-1]["content"])))


def as_json(labels: Sequence[str]) -> str:
    return json.dumps({"reviews": {label: f"{label} is a view" for label in labels}, "ranking": list(labels)})


def ranking(order: Sequence[str], write: Callable[[Sequence[str]], str] = as_json) -> Callable[[AttemptRequest], Say]:
    """Answers with its own name, and reviews by ranking the answers in this order of their authors."""

    def step(request: AttemptRequest) -> Say:
        if not is_review(request):
            return Say(f"answer of {request.model}")
        by_author = {text.removeprefix("answer of "): label for label, text in shown(request).items()}
        return Say(write([by_author[author] for author in order if author in by_author]))

    return step


def council(orders: dict[str, Sequence[str]], **options: Any) -> Bench:
    script: Script = {**{name: ranking(order) for name, order in orders.items()}, "chair": "the answer"}
    return bench(MODEL, script, members=list(orders), **options)


AGREED = dict.fromkeys(MEMBERS, ("cow", "ant", "dog", "bee"))


async def test_members_answer_reviewers_rank_and_the_chairman_writes() -> None:
    b = council(AGREED)
    assert await b.text() == "the answer"
    assert [call.stage for call in b.trace.calls] == ["answer"] * 4 + ["review"] * 4 + ["synthesize"]
    assert [call.role for call in b.trace.calls] == ["member"] * 4 + ["reviewer"] * 4 + ["chairman"]
    assert b.trace.ranking is not None
    assert b.trace.ranking.order == ["cow", "ant", "dog", "bee"]
    assert b.trace.degraded == []


async def test_every_reviewer_sees_the_answers_in_an_order_of_its_own() -> None:
    b = council(dict.fromkeys([f"m{number}" for number in range(6)], ()))
    await b.text()
    orders = [tuple(shown(request).values()) for request in b.backend.requests if is_review(request)]
    assert len(orders) == 6
    assert len(set(orders)) > 3
    assert {tuple(sorted(order)) for order in orders} == {tuple(f"answer of m{number}" for number in range(6))}


def orders_of(b: Bench) -> list[list[str]]:
    return [list(shown(request).values()) for request in b.backend.requests if is_review(request)]


async def test_the_same_request_is_shuffled_the_same_way_and_another_differently() -> None:
    first, again = council(AGREED), council(AGREED)
    script: Script = {**{name: ranking(order) for name, order in AGREED.items()}, "chair": "x"}
    other = bench(MODEL, script, [{"role": "user", "content": "Another question"}], members=MEMBERS)
    for b in (first, again, other):
        await b.text()
    assert orders_of(first) == orders_of(again)
    assert orders_of(first) != orders_of(other)


async def test_a_seed_decides_the_shuffle_whatever_the_request() -> None:
    script: Script = {**{name: ranking(order) for name, order in AGREED.items()}, "chair": "x"}
    seeded = [
        bench(MODEL, script, [{"role": "user", "content": question}], members=MEMBERS, seed=seed)
        for question, seed in (("one", 5), ("two", 5), ("one", 6))
    ]
    for b in seeded:
        await b.text()
    assert orders_of(seeded[0]) == orders_of(seeded[1])
    assert orders_of(seeded[0]) != orders_of(seeded[2])


async def test_a_reviewers_labels_are_mapped_back_to_the_answers_it_saw() -> None:
    orders = {
        "ant": ("bee", "cow", "dog"),
        "bee": ("cow", "dog", "ant"),
        "cow": ("dog", "bee", "ant"),
        "dog": ("bee", "ant", "cow"),
    }
    b = council(orders)
    await b.text()
    assert b.trace.ranking is not None
    assert {ballot.reviewer: tuple(ballot.ranking) for ballot in b.trace.ranking.ballots} == orders


@pytest.mark.parametrize("exclude_self", [True, False])
async def test_a_vote_for_oneself_is_dropped_unless_it_is_allowed(exclude_self: bool) -> None:
    orders = {name: (name, *[other for other in MEMBERS if other != name]) for name in MEMBERS}
    b = council(orders, exclude_self=exclude_self)
    await b.text()
    assert b.trace.ranking is not None
    for ballot in b.trace.ranking.ballots:
        assert (ballot.reviewer in ballot.ranking) is not exclude_self
        assert len(ballot.ranking) == (3 if exclude_self else 4)
    firsts = {row.name: row.first_places for row in b.trace.ranking.table}
    assert firsts == ({"ant": 3, "bee": 1, "cow": 0, "dog": 0} if exclude_self else dict.fromkeys(MEMBERS, 1))


@pytest.mark.parametrize("method", ["borda", "mean_position", "copeland"])
async def test_the_vote_is_counted_by_the_named_rule(method: str) -> None:
    b = council(AGREED, ranking=method)
    await b.text()
    assert b.trace.ranking is not None
    assert b.trace.ranking.method == method
    assert b.trace.ranking.order[0] == "cow"
    assert [row.rank for row in b.trace.ranking.table] == [1, 2, 3, 4]


async def test_reviewers_may_be_others_than_the_members() -> None:
    script: Script = {"ant": ranking(()), "bee": ranking(()), "judge": ranking(("bee", "ant")), "chair": "x"}
    b = bench(MODEL, script, members=["ant", "bee"], reviewers=["judge"])
    await b.text()
    assert b.trace.ranking is not None
    assert [(ballot.reviewer, ballot.ranking) for ballot in b.trace.ranking.ballots] == [("judge", ["bee", "ant"])]
    assert len(b.backend.asked("judge")) == 1


def refuses(request: AttemptRequest) -> Say:
    return Say("I would rather not rank them." if is_review(request) else "answer of dog")


async def test_a_reviewer_without_a_ranking_abstains_and_its_words_are_kept() -> None:
    script: Script = {name: ranking(AGREED[name]) for name in MEMBERS} | {"dog": refuses, "chair": "x"}
    b = bench(MODEL, script, members=MEMBERS)
    await b.text()
    assert b.trace.ranking is not None
    (abstained,) = [ballot for ballot in b.trace.ranking.ballots if ballot.abstained]
    assert (abstained.reviewer, abstained.ranking) == ("dog", [])
    assert len([reason for reason in b.trace.degraded if "dog" in reason and "abstain" in reason]) == 1
    assert "I would rather not rank them." in b.backend.prompts("chair")[0][-1]["content"]


async def test_when_all_abstain_the_chairman_writes_without_a_vote() -> None:
    script: Script = {
        name: lambda request: Say("No." if is_review(request) else f"answer of {request.model}") for name in MEMBERS
    }
    b = bench(MODEL, {**script, "chair": "the answer"}, members=MEMBERS)
    assert await b.text() == "the answer"
    assert b.trace.ranking is None
    assert any("no_ballot" in reason or "no ballot" in reason for reason in b.trace.degraded)
    assert "The vote, best first" not in b.backend.prompts("chair")[0][-1]["content"]


async def test_one_answer_alone_is_not_reviewed() -> None:
    script: Script = {"ant": "alone", "bee": failing("rejected"), "chair": "the answer"}
    b = bench(MODEL, script, members=["ant", "bee"])
    assert await b.text() == "the answer"
    assert [call.stage for call in b.trace.calls] == ["answer", "answer", "synthesize"]
    assert b.trace.ranking is None
    assert any("only one answer" in reason for reason in b.trace.degraded)
    assert "alone" in b.backend.prompts("chair")[0][-1]["content"]


async def test_a_failed_member_reviews_nevertheless_and_its_error_is_in_no_prompt() -> None:
    fine = ranking(("ant", "bee"))

    def fails_at_first(request: AttemptRequest) -> Say | Fail | Hang:
        return fine(request) if is_review(request) else failing("rejected", "secret upstream text")

    script: Script = {"ant": fine, "bee": fine, "cow": fails_at_first, "chair": "x"}
    b = bench(MODEL, script, members=["ant", "bee", "cow"])
    await b.text()
    assert all("secret upstream text" not in str(request.messages) for request in b.backend.requests)
    assert all(
        set(shown(request)) == {"Response A", "Response B"} for request in b.backend.requests if is_review(request)
    )
    assert b.trace.ranking is not None
    assert b.trace.ranking.order == ["ant", "bee"]


async def test_the_chairman_sees_the_labels_that_all_share() -> None:
    b = council(AGREED)
    await b.text()
    prompt = b.backend.prompts("chair")[0]
    assert list(prompt[:-1]) == QUESTION
    request = prompt[-1]["content"]
    common = dict(zip(["Response A", "Response B", "Response C", "Response D"], MEMBERS, strict=True))
    for label, name in common.items():
        assert f"{label} " in request
        assert re.search(rf"<<<{label} \w+>>>\nanswer of {name}\n", request)
    vote = request.split("The vote, best first:\n")[1].splitlines()
    assert [line.split(":")[0] for line in vote[:4]] == [
        "1. Response C",
        "2. Response A",
        "3. Response D",
        "4. Response B",
    ]


def prose(labels: Sequence[str]) -> str:
    return f"{labels[0]} is best.\n\nFINAL RANKING:\n" + "\n".join(f"{n}. {x}" for n, x in enumerate(labels, 1))


def chain(labels: Sequence[str]) -> str:
    return "I judge them so: " + " > ".join(labels)


def fenced_json(labels: Sequence[str]) -> str:
    return f"Here it is:\n```json\n{as_json(labels)}\n```"


def letters(labels: Sequence[str]) -> str:
    return f"{labels[0]} is best.\n\n**FINAL RANKING**: " + " > ".join(label.split()[-1] for label in labels)


def letters_in_json(labels: Sequence[str]) -> str:
    return json.dumps({"ranking": [label.split()[-1] for label in labels]})


FORMS = [as_json, fenced_json, prose, chain, letters, letters_in_json]


@pytest.mark.parametrize("write", FORMS, ids=lambda write: write.__name__)
async def test_every_form_of_ballot_counts_and_speaks_to_the_chairman_in_common_labels(
    write: Callable[[Sequence[str]], str],
) -> None:
    order = ("cow", "ant", "dog", "bee")
    script: Script = {**{name: ranking(order, write) for name in MEMBERS}, "chair": "x"}
    b = bench(MODEL, script, members=MEMBERS, exclude_self=False)
    await b.text()
    assert b.trace.ranking is not None
    assert b.trace.ranking.order == list(order)
    request = b.backend.prompts("chair")[0][-1]["content"]
    reviews = re.findall(r"<<<review by reviewer \d \w+>>>\n(.*?)\n<<<end", request, re.DOTALL)
    assert len(reviews) == 4
    for text in reviews:
        mentioned = list(dict.fromkeys(re.findall(r"Response [A-D]", text)))
        assert mentioned == ["Response C", "Response A", "Response D", "Response B"]


async def test_criteria_reach_reviewers_and_chairman_and_not_the_members() -> None:
    b = council(AGREED, criteria="be kind")
    await b.text()
    for request in b.backend.requests:
        assert ("be kind" in str(request.messages)) is (request.metadata["composite_stage"] != "answer")


async def test_without_members_three_personas_of_the_chairmans_model_sit() -> None:
    script: Script = {"chair": ranking(())}
    b = bench(MODEL, script)
    await b.text()
    names = ["chair as expert", "chair as skeptic", "chair as pragmatist"]
    assert [call.name for call in b.trace.calls] == [*names, *names, "chair"]
    assert len({str(request.messages[0]["content"]) for request in b.backend.requests[:3]}) == 3
    assert b.run.notes == ("Council of 3 personas of chair",)


async def test_system_placement_puts_the_councils_material_into_one_system_block() -> None:
    b = council(AGREED, reference_placement="system")
    await b.text()
    (prompt,) = b.backend.prompts("chair")
    assert [message["role"] for message in prompt] == ["system", "user"]
    assert "answer of ant" in prompt[0]["content"]
    assert prompt[1] == QUESTION[0]


def reviews_by(step: Say | Fail | Hang) -> Callable[[AttemptRequest], Say | Fail | Hang]:
    """A member that answers, and does that when it is asked to review."""
    return lambda request: step if is_review(request) else Say(f"answer of {request.model}")


UNREADABLE: dict[str, Say | Fail | Hang] = {
    "failed": failing("rejected"),
    "blank": Say(""),
    "refused": Say("I cannot rank these."),
    "cut off": Say('{"reviews": {"A": "', finish_reason="length"),
    "hanging": Hang(),
}


@pytest.mark.parametrize("form", ["plain", "streamed"])
@pytest.mark.parametrize("members", [MEMBERS[:2], MEMBERS], ids=["two", "four"])
@pytest.mark.parametrize("how", UNREADABLE)
async def test_a_council_without_a_single_vote_answers_all_the_same(how: str, members: list[str], form: str) -> None:
    script: Script = {**{name: reviews_by(UNREADABLE[how]) for name in members}, "chair": "the answer"}
    b = bench(MODEL, script, members=members, quorum=2, timeout_s=60)
    assert (await b.text() if form == "plain" else streamed_text(await b.items())) == "the answer"
    assert b.trace.ranking is None
    codes = b.trace.degraded_codes
    assert ("no_ballot" in codes) or (len(members) == 2 and how in ("refused", "cut off"))
    assert "The vote" not in b.backend.prompts("chair")[0][-1]["content"]


async def test_the_reviews_that_came_count_though_they_are_fewer_than_the_quorum() -> None:
    fine = ranking(("cow", "ant", "dog", "bee"))
    script: Script = {**{name: reviews_by(failing("rejected")) for name in MEMBERS}, "ant": fine, "chair": "x"}
    b = bench(MODEL, script, members=MEMBERS, quorum=3)
    assert await b.text() == "x"
    assert b.trace.ranking is not None
    assert b.trace.ranking.order[0] == "cow"
    assert b.trace.degraded_codes == ["member_missing"]


async def test_hanging_reviewers_leave_the_chairman_its_share_of_the_time() -> None:
    script: Script = {**{name: reviews_by(Hang()) for name in MEMBERS}, "chair": Say("x", after=20)}
    b = bench(MODEL, script, members=MEMBERS, timeout_s=60)
    assert await b.text() == "x"
    assert b.trace.duration_s == 50


async def test_repeated_members_are_numbered_and_kept_apart() -> None:
    b = bench(MODEL, {"ant": ranking(()), "chair": "x"}, members=["ant", "ant", "ant"])
    await b.text()
    assert [call.name for call in b.trace.calls][:3] == ["ant #1", "ant #2", "ant #3"]
    assert [request.unique for request in b.backend.requests[:3]] == [False, True, True]
