"""Reviews end to end: what counts as a vote, who said what about whom, and what the chairman is shown."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

import composite_llm
from fake_server import ThreadedServer
from tests.support import wire
from tests.support.asking import COUNCIL, FIRST, MESSAGES, SECOND, THIRD, Ask, at

pytestmark = pytest.mark.usefixtures("no_cached_answers")

SAID = {"ada": "ADA'S ANSWER", "bob": "BOB'S ANSWER", "cyd": "CYD'S ANSWER"}
NODES = [{"model": model, "name": name} for model, name in zip((FIRST, SECOND, THIRD), SAID, strict=True)]
MODEL_OF = {"ada": "gpt-4o-mini", "bob": "gpt-4.1-mini", "cyd": "gpt-4.1-nano"}
HONEST = '{"reviews": {}, "ranking": ["Response B", "Response C", "Response A"]}'


@pytest.fixture(autouse=True)
def _answers(server: ThreadedServer) -> None:
    for name, model in MODEL_OF.items():
        server.set_scenario(model, {"text": SAID[name]})
    server.set_scenario("honest", {"text": HONEST})
    server.set_scenario("gpt-4o", {"text": "The council's answer."})


def shown_order(messages: list[dict[str, Any]]) -> list[str]:
    prompt = str(messages[-1]["content"])
    return sorted(SAID, key=lambda name: prompt.index(SAID[name]))


def council(ask: Ask, *reviewers: str, **options: Any) -> Any:
    return ask(COUNCIL, members=NODES, reviewers=[f"openai/{name}" for name in reviewers], seed=9, **options)


def voted(ask: Ask, server: ThreadedServer, said: dict[str, Any], **options: Any) -> Any:
    """A council of the reviewer `r`, which says that, and an honest one."""
    server.set_scenario("r", said)
    answer = council(ask, "r", "honest", **options)
    if options.get("stream"):
        assert list(answer)
    return composite_llm.get_trace(answer)


def ballot_of(trace: Any, reviewer: str = "openai/r") -> Any:
    return next(ballot for ballot in trace.ranking.ballots if ballot.reviewer == reviewer)


VOTES = [
    {"text": '{"reviews": {}, "ranking": ["Respuesta C", "Respuesta A", "Respuesta B"]}'},
    {"text": '{"reviews": {}, "ranking": ["回答 C", "回答 A", "回答 B"]}'},
    {"text": '{"reviews": {}, "ranking": ["Réponse C", "Réponse A", "Réponse B"]}'},
    {"text": '{"ranking": ["Response Ｃ", "Response Ａ", "Response Ｂ"]}'},
    {"text": "ranking:\n- Response C\n- Response A\n- Response B"},
    {"text": '{"reviews": {"<label>": "fine", ...}, "ranking": ["Response C", "Response A", "Response B", ...]}'},
    {"text": "<think>\nPerhaps B > A > C.\n</think>\n\n" + '{"ranking": ["C", "A", "B"]}'},
    {"text": '{"ranking": ["C", "A", "B"], "reviews": {"A": "It is right about the', "finish_reason": "length"},
    {"text": '{"reviews": {"A": "I cannot judge the last claim."}, "ranking": ["C", "A", "B"]}'},
]


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("said", VOTES, ids=lambda said: said["text"][:40])
def test_a_vote_counts(said: dict[str, Any], stream: bool, ask: Ask, server: ThreadedServer) -> None:
    trace = voted(ask, server, said, stream=stream)
    shown = shown_order(wire.record(server, "r").body["messages"])
    assert ballot_of(trace).ranking == [shown["ABC".index(letter)] for letter in "CAB"]
    assert not ballot_of(trace).abstained
    assert trace.degraded_codes == (["member_truncated"] if "finish_reason" in said else [])


NO_VOTES = [
    {
        "text": '<think>\nFirst draft: {"ranking": ["Response B", "Response A", "Response C"]}. But wait, Response B has a '
        "grave error, so the order must be",
        "finish_reason": "length",
    },
    {
        "text": "<think>\nFINAL RANKING:\n1. Response B\n2. Response A\n3. Response C\nHmm, is Response B really right?",
        "finish_reason": "length",
    },
    {"text": "FINAL RANKING:\n1. Response B\n2. Response A\n3. Response C\nHmm, is", "finish_reason": "length"},
    {
        "text": 'I cannot rank these answers. A reply would look like {"reviews": {}, "ranking": ["Response C", "Response A", '
        '"Response B"]}, but I decline to give one.'
    },
    {"text": '{"ranking": ["Response X", "Response Y"]}'},
    {"text": '{"ranking": [3, 1, 2]}'},
    {"refusal": '{"ranking": ["Response C", "Response A", "Response B"]}'},
]


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("said", NO_VOTES, ids=lambda said: str(said)[:60])
def test_only_the_honest_vote_counts(said: dict[str, Any], stream: bool, ask: Ask, server: ThreadedServer) -> None:
    trace = voted(ask, server, said, stream=stream)
    shown = shown_order(wire.record(server, "honest").body["messages"])
    assert trace.ranking.order == [shown["ABC".index(letter)] for letter in "BCA"]
    assert [ballot.reviewer for ballot in trace.ranking.ballots if not ballot.abstained] == ["openai/honest"]
    assert any("openai/r" in reason for reason in trace.degraded)


# --- who said what about whom ------------------------------------------------------------------------------------------


def reviewing(server: ThreadedServer, ask: Ask, write: Any, *reviewers: str, **options: Any) -> Any:
    """A council whose reviewers write about each answer by its author, whatever label they see it under."""
    council(ask, *reviewers, **options)
    for name in reviewers:
        shown = shown_order(wire.records(server, name)[-1].body["messages"])
        labels = {author: f"Response {'ABC'[place]}" for place, author in enumerate(shown)}
        server.set_scenario(name, {"text": write(labels)})
    server.ledger.clear()
    return council(ask, *reviewers, **options)


def as_json(labels: dict[str, str]) -> str:
    reviews = {label[-1]: f"about {name}, better than {labels['bob']}" for name, label in labels.items()}
    return json.dumps({"reviews": reviews, "ranking": [label[-1] for label in labels.values()]})


def as_full_json(labels: dict[str, str]) -> str:
    reviews = {label: f"about {name}, better than {labels['bob']}" for name, label in labels.items()}
    return json.dumps({"reviews": reviews, "ranking": list(labels.values())})


def as_prose(labels: dict[str, str]) -> str:
    parts = [f"### {label}\nabout {name}, better than {labels['bob']}" for name, label in labels.items()]
    return "\n".join(parts) + "\n\nFINAL RANKING: " + " > ".join(labels.values())


WRITERS = [as_json, as_full_json, as_prose]


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
def test_the_trace_holds_each_critique_by_reviewer_and_author(write: Any, ask: Ask, server: ThreadedServer) -> None:
    trace = composite_llm.get_trace(reviewing(server, ask, write, "r1", "r2", "r3", "r4"))
    assert trace.ranking is not None
    assert len(trace.ranking.ballots) == 4
    orders = set()
    for ballot in trace.ranking.ballots:
        assert ballot.critiques == {name: f"about {name}, better than bob" for name in SAID}
        assert sorted(ballot.labels) == ["Response A", "Response B", "Response C"]
        assert sorted(ballot.labels.values()) == sorted(SAID)
        orders.add(tuple(ballot.labels.values()))
        (call,) = [call for call in trace.calls if call.name == ballot.reviewer]
        assert (call.labels, call.critiques) == (ballot.labels, ballot.critiques)
        # As it was written.
        assert call.content is not None
        assert "Response" in call.content
    assert len(orders) > 1
    assert composite_llm.Trace.model_validate_json(trace.model_dump_json()) == trace


def lines_about(text: str) -> set[str]:
    return set(re.findall(r"^On \w+: .*$", text, re.MULTILINE))


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
def test_everything_that_shows_a_review_shows_it_at_its_answer(write: Any, ask: Ask, server: ThreadedServer) -> None:
    expected = {f"On {name}: about {name}, better than bob" for name in SAID}
    answer = reviewing(server, ask, write, "r1", "r2", reasoning="full")
    trace = composite_llm.get_trace(answer)
    assert lines_about(answer.choices[0].message.reasoning_content) == expected
    page = trace.to_html()
    assert all(line in page.replace("&#x27;", "'") for line in expected)
    chunks = list(council(ask, "r1", "r2", reasoning="full", stream=True))
    told = "".join(chunk.choices[0].delta.get("reasoning_content") or "" for chunk in chunks if chunk.choices)
    assert lines_about(told) == expected


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
def test_the_chairman_reads_each_critique_under_the_label_of_its_answer(
    write: Any, ask: Ask, server: ThreadedServer
) -> None:
    reviewing(server, ask, write, "r1", "r2", "r3")
    note = wire.record(server, "gpt-4o").body["messages"][-1]["content"]
    common = {name: f"Response {letter}" for name, letter in zip(SAID, "ABC", strict=True)}
    for name, label in common.items():
        assert re.search(rf"<<<{label} \w+>>>\n{SAID[name]}\n", note)
    reviews = re.findall(r"<<<review by reviewer \d \w+>>>\n(.*?)\n<<<end", note, re.DOTALL)
    assert len(reviews) == 3
    for review in reviews:
        for name, label in common.items():
            assert f"{label}: about {name}, better than {common['bob']}" in review


def test_words_are_not_taken_for_labels(ask: Ask, server: ThreadedServer) -> None:
    said = "A good answer. Response A is C-like; vitamin C, plan B and Response Apple stay. Responses A and C agree."
    trace = voted(
        ask, server, {"text": said + "\nFINAL RANKING: Response A > Response C > Response B"}, reasoning="full"
    )
    (call,) = [call for call in trace.calls if call.name == "openai/r"]
    names = call.labels
    readable = f"A good answer. {names['Response A']} is C-like; vitamin C, plan B and Response Apple stay. "
    readable += f"{names['Response A']} and {names['Response C']} agree."
    assert readable in composite_llm.get_trace(council(ask, "r", "honest", reasoning="full")).to_html()


# --- what the chairman is spared ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        {"text": '{"reviews": {"A": "This is', "finish_reason": "length"},
        {"text": '{"verdict": "LOOP", "notes": ["LOOP", "LOOP"]}'},
        {"text": "LOOP is the answer. " * 40},
        {"text": "LOOP weighing this and that and", "finish_reason": "length"},
        {"text": "```json\n{LOOP\n```"},
    ],
    ids=lambda said: said["text"][:30],
)
def test_an_abstention_that_says_nothing_is_left_out(said: dict[str, Any], ask: Ask, server: ThreadedServer) -> None:
    trace = voted(ask, server, said)
    assert ballot_of(trace).abstained
    note = wire.record(server, "gpt-4o").body["messages"][-1]["content"]
    assert "LOOP" not in note
    assert "This is" not in note
    assert note.count("<<<review by") == 1


def test_an_abstention_with_reasons_is_passed_on(ask: Ask, server: ThreadedServer) -> None:
    voted(ask, server, {"text": "All three miss the point: the question is about bridges."})
    assert "All three miss the point" in wire.record(server, "gpt-4o").body["messages"][-1]["content"]


def test_reviews_without_a_ranking_are_passed_on_by_label(ask: Ask, server: ThreadedServer) -> None:
    voted(ask, server, {"text": '{"reviews": {"A": "wrong about the date", "B": "fine"}}'})
    note = wire.record(server, "gpt-4o").body["messages"][-1]["content"]
    assert re.search(r"Response [ABC]: wrong about the date", note)
    assert "{" not in note.partition("<<<review by reviewer 1")[2]


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("fault", [{"error": {"status": 429}}, {"error": {"status": 401}}, {"text": "Hm."}], ids=str)
def test_without_any_review_a_council_answers_without_a_vote(
    fault: dict[str, Any], stream: bool, ask: Ask, server: ThreadedServer
) -> None:
    server.set_scenario("r", fault)
    reviewer = at(server, "openai/r", num_retries=0)
    answer = ask(COUNCIL, members=NODES, reviewers=[reviewer, reviewer], quorum=3, stream=stream)
    if stream:
        assert list(answer)
    trace = composite_llm.get_trace(answer)
    assert trace.ranking is None
    assert "no_ballot" in trace.degraded_codes
    assert trace.calls[-1].content == "The council's answer."


# --- the order shown ---------------------------------------------------------------------------------------------------

REPEATS = {"text": '{"reviews": {}, "ranking": ["A", "B", "C"]}'}


def test_a_reviewer_that_only_repeats_the_order_shown_is_warned_of(ask: Ask, server: ThreadedServer) -> None:
    server.set_scenario("r", REPEATS)
    warned = []
    for number in range(4):
        messages = [{"role": "user", "content": f"Question {number}?"}]
        trace = composite_llm.get_trace(council(ask, "r", "honest", messages=messages))
        warned.append([reason for reason in trace.degraded if reason.startswith("positional_ballot")])
        assert not ballot_of(trace).abstained
    assert [len(reasons) for reasons in warned] == [0, 0, 1, 1]
    assert "openai/r" in warned[-1][0]


def test_one_run_tells_too_little(ask: Ask, server: ThreadedServer) -> None:
    server.set_scenario("r", REPEATS)
    same = [{"model": "openai/r", "name": f"r{number}"} for number in range(4)]
    assert composite_llm.get_trace(ask(COUNCIL, members=NODES, reviewers=same)).degraded == []


def test_a_model_that_judges_now_and_then_is_not_warned_of(ask: Ask, server: ThreadedServer) -> None:
    server.set_scenario("r", {"sequence": [REPEATS, REPEATS, {"text": HONEST}, REPEATS, REPEATS]})
    for number in range(5):
        messages = [{"role": "user", "content": f"Question {number}?"}]
        assert composite_llm.get_trace(council(ask, "r", messages=messages)).degraded == []


# --- response_format ---------------------------------------------------------------------------------------------------


def formats(server: ThreadedServer, name: str) -> list[Any]:
    return [record.body.get("response_format") for record in wire.records(server, name)]


def test_reviewers_are_asked_for_the_ballots_schema_and_nobody_else_is(ask: Ask, server: ThreadedServer) -> None:
    ask(COUNCIL, members=NODES, reviewers=["openai/gpt-4.1", "openai/gpt-3.5-turbo", "openai/own-model"])
    schema = formats(server, "gpt-4.1")[0]["json_schema"]["schema"]
    assert schema["properties"]["ranking"]["items"]["enum"] == ["A", "B", "C"]
    # LiteLLM knows that it takes none; of a model that it does not know, its server may.
    assert formats(server, "gpt-3.5-turbo") == [None]
    assert formats(server, "own-model")[0] is not None
    assert all(formats(server, name) == [None] for name in (*MODEL_OF.values(), "gpt-4o"))


@pytest.mark.parametrize("rule", ["no_response_format", "no_json_schema"])
def test_who_refuses_it_is_asked_without_and_not_troubled_again(rule: str, ask: Ask, server: ThreadedServer) -> None:
    server.set_scenario("strict", {"rules": [rule], "text": HONEST})
    for expected in ([400, 200], [200]):
        server.ledger.clear()
        trace = composite_llm.get_trace(council(ask, "strict"))
        assert [record.status for record in wire.records(server, "strict")] == expected
        assert trace.degraded == []
        assert ballot_of(trace, "openai/strict").ranking
    assert formats(server, "strict") == [None]


def test_a_refusal_in_other_words_is_met_too(ask: Ask, server: ThreadedServer) -> None:
    refusal = {"error": {"status": 400, "message": "Unprocessable grammar."}}
    server.set_scenario("strict", {"sequence": [refusal, {"text": HONEST}]})
    assert composite_llm.get_trace(council(ask, "strict")).degraded == []
    assert [form is None for form in formats(server, "strict")] == [False, True]


def test_a_node_s_own_format_stays(ask: Ask, server: ThreadedServer) -> None:
    own = {"type": "json_object"}
    server.set_scenario("r", {"text": HONEST})
    ask(COUNCIL, members=NODES, reviewers=[{"model": "openai/r", "response_format": own}])
    assert formats(server, "r") == [own]


def test_reviewers_are_shown_no_order_that_they_could_repeat(ask: Ask, server: ThreadedServer) -> None:
    council(ask, "honest")
    prompt = wire.record(server, "honest").body["messages"][-1]["content"]
    form = prompt.partition("Do not answer the user.")[2]
    assert form
    assert not re.search(r"[ABC]\W{1,4}[ABC]\b|Response [A-C]", form)
    assert MESSAGES[0] in wire.record(server, "honest").body["messages"]
