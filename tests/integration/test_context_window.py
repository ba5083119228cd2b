"""Prompts that are too long, by LiteLLM's table, by a node's own word, or by the provider's."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import litellm
import pytest

import composite_llm
from fake_server import ThreadedServer
from tests.support import wire
from tests.support.asking import COUNCIL, FIRST, MOA, SECOND, THIRD, Ask

SMALL = "openai/small-window"
LONG = "Long ago a bridge was built here. " * 150
pytestmark = pytest.mark.usefixtures("no_cached_answers")
LONG_QUESTION = [{"role": "user", "content": "Which bridge is the oldest? " * 400}]


@pytest.fixture(scope="module", autouse=True)
def _a_small_model() -> Iterator[None]:
    entry = {"litellm_provider": "openai", "mode": "chat", "max_input_tokens": 1200, "max_output_tokens": 100}
    prices = {"input_cost_per_token": 1e-6, "output_cost_per_token": 1e-6}
    litellm.register_model({SMALL: {**entry, **prices}})
    yield
    litellm.model_cost.pop(SMALL, None)


def tokens_of(server: ThreadedServer, name: str) -> int:
    return int(litellm.token_counter(model=f"openai/{name}", messages=wire.body(server, name)["messages"]))


def codes(answer: Any) -> list[str]:
    return [reason.partition(":")[0] for reason in composite_llm.get_trace(answer).degraded]


def test_candidates_are_cut_to_the_final_models_window(ask_both: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o-mini", {"text": f"HEAD {LONG} TAIL"})
    server.set_scenario("gpt-4.1-mini", {"text": "Short and whole."})
    answer = ask_both(f"composite/moa/{SMALL}", proposers=[FIRST, SECOND])
    assert tokens_of(server, "small-window") <= 1200
    question, note = wire.body(server, "small-window")["messages"]
    assert question["content"] == "Which bridge is the oldest?"
    assert "HEAD Long ago" in note["content"]
    assert "TAIL" in note["content"]
    assert "characters left out" in note["content"]
    assert "Short and whole." in note["content"]
    assert composite_llm.get_trace(answer).degraded == [f"context_cut: {SMALL}: 1 answers cut to fit {SMALL}"]
    assert answer.choices[0].message.provider_specific_fields["composite"]["degraded"]


def test_a_nodes_own_window_counts_before_the_table(ask_both: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o-mini", {"text": LONG})
    ask_both(proposers=[FIRST], aggregator={"context_window": 700, "max_tokens": 100})
    assert tokens_of(server, "gpt-4o") <= 600


def test_a_reviewers_prompt_is_cut_and_its_ballot_counts(ask_both: Ask, server: ThreadedServer) -> None:
    for name in ("gpt-4o-mini", "gpt-4.1-mini"):
        server.set_scenario(name, {"text": LONG})
    answer = ask_both(COUNCIL, members=[FIRST, SECOND], reviewers=[SMALL, THIRD])
    assert tokens_of(server, "small-window") <= 1200
    assert codes(answer) == ["context_cut"]
    ranking = composite_llm.get_trace(answer).ranking
    assert ranking is not None
    assert not any(ballot.abstained for ballot in ranking.ballots)


def test_a_member_that_cannot_hold_the_conversation_is_skipped(ask_both: Ask, server: ThreadedServer) -> None:
    answer = ask_both(messages=LONG_QUESTION, proposers=[SMALL, FIRST])
    assert sorted(map(str, wire.models(server))) == ["gpt-4o", "gpt-4o-mini"]
    assert codes(answer) == ["member_missing"]
    assert "longer than its context window of 1200 tokens" in composite_llm.get_trace(answer).degraded[0]
    assert wire.body(server, "gpt-4o-mini")["messages"] == LONG_QUESTION


def test_a_fallback_with_room_takes_its_place(ask_both: Ask, server: ThreadedServer) -> None:
    answer = ask_both(messages=LONG_QUESTION, proposers=[{"model": SMALL, "fallbacks": [FIRST]}])
    assert codes(answer) == ["fallback_used"]
    assert composite_llm.get_trace(answer).calls[0].model == FIRST


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("strategy", ["moa", "council"])
def test_a_final_model_that_cannot_hold_the_conversation_is_refused_before_any_spending(
    strategy: str, stream: bool, ask_both: Ask, server: ThreadedServer
) -> None:
    with pytest.raises(
        composite_llm.ContextWindowExceeded, match="1200 tokens that openai/small-window takes"
    ) as caught:
        ask_both(f"composite/{strategy}/{SMALL}", messages=LONG_QUESTION, stream=stream)
    assert server.ledger.records == []
    assert isinstance(caught.value, litellm.ContextWindowExceededError)
    assert caught.value.status_code == 400


def test_a_final_fallback_with_room_is_enough(ask_both: Ask, server: ThreadedServer) -> None:
    answer = ask_both(
        f"composite/moa/{SMALL}", messages=LONG_QUESTION, proposers=[FIRST], aggregator={"fallbacks": [SECOND]}
    )
    assert composite_llm.get_trace(answer).calls[-1].model == SECOND
    assert codes(answer) == ["fallback_used"]


def test_all_members_too_small_is_a_context_window_error(ask_both: Ask, server: ThreadedServer) -> None:
    with pytest.raises(composite_llm.QuorumNotMet) as caught:
        ask_both(messages=LONG_QUESTION, proposers=[SMALL])
    assert isinstance(caught.value, litellm.ContextWindowExceededError)
    assert server.ledger.records == []


TOO_LONG = {"error": {"context_window": True}}


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_a_providers_own_word_is_met_once_with_shorter_answers(stream: bool, ask: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o-mini", {"text": LONG})
    server.set_scenario("gpt-4o", {"sequence": [TOO_LONG, {"text": "It fits."}]})
    answer: Any = ask(proposers=[FIRST], stream=stream, aggregator={"num_retries": 0})
    if stream:
        assert list(answer)
    trace = composite_llm.get_trace(answer)
    first, second = (record.body["messages"] for record in wire.records(server, "gpt-4o"))
    assert first[0] == second[0]
    assert len(second[1]["content"]) < 0.7 * len(first[1]["content"])
    assert [attempt.next_step for attempt in trace.calls[-1].attempts] == ["asked again with shorter answers", None]
    assert codes(answer) == ["context_cut"]
    assert trace.calls[-1].content == "It fits."


def test_a_provider_that_still_says_no_is_given_up(ask_both: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o-mini", {"text": LONG})
    server.set_scenario("gpt-4o", TOO_LONG)
    with pytest.raises(composite_llm.FinalCallFailed) as caught:
        ask_both(MOA, proposers=[FIRST])
    assert isinstance(caught.value, litellm.ContextWindowExceededError)
    assert len(wire.records(server, "gpt-4o")) == 2
    assert server.url.removeprefix("http://") in str(caught.value)


def test_short_answers_are_not_sent_again(ask_both: Ask, server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o-mini", {"text": "Short."})
    server.set_scenario("gpt-4o", TOO_LONG)
    with pytest.raises(composite_llm.FinalCallFailed) as caught:
        ask_both(proposers=[FIRST])
    assert len(wire.records(server, "gpt-4o")) == 1
    assert "ContextWindowExceededError" in str(caught.value)
    assert server.url.removeprefix("http://") in str(caught.value)


# ------------------------------------------------------------------ windows that a provider enforces

SIX = [f"openai/m{number}" for number in range(6)]
WORDINGS = ["openai", "vllm", "llama_cpp", "anthropic", "gemini"]


def _talkative(server: ThreadedServer, words: int) -> None:
    # The fake server counts a token for four characters, LiteLLM for OpenAI's models one for each such word.
    for name in SIX:
        server.set_scenario(name.removeprefix("openai/"), {"text": "word " * words})


def _sizes(server: ThreadedServer, name: str) -> list[int]:
    return [len(str(record.body["messages"])) for record in wire.records(server, name)]


def _assert_each_shorter(server: ThreadedServer, name: str) -> None:
    sizes = _sizes(server, name)
    assert all(later < earlier for earlier, later in pairwise(sizes)), sizes
    for record in wire.records(server, name):
        assert record.body["messages"][0]["content"] == "Which bridge is the oldest?"


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("wording", WORDINGS)
@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
def test_each_further_try_is_shorter_and_one_of_the_first_fits(
    known: bool, wording: str, stream: bool, ask: Ask, server: ThreadedServer
) -> None:
    _talkative(server, 3000)
    window = {"tokens": 8192, "factor": 1.4, "wording": wording}
    server.set_scenario("strict", {"context_window": window, "text": "It fits."})
    final = {"context_window": 8192} if known else {}
    answer: Any = ask("composite/moa/openai/strict", proposers=SIX, aggregator=final, stream=stream)
    if stream:
        assert list(answer)
    trace = composite_llm.get_trace(answer)
    assert trace.calls[-1].content == "It fits."
    assert len(wire.records(server, "strict")) <= 3
    _assert_each_shorter(server, "strict")
    # Not cut to almost nothing either.
    assert _sizes(server, "strict")[-1] > 12_000


def test_a_window_that_was_told_is_kept_to_from_then_on(ask: Ask, server: ThreadedServer) -> None:
    _talkative(server, 3000)
    server.set_scenario("strict", {"context_window": {"tokens": 4096, "wording": "llama_cpp"}})
    statuses = []
    for _ in range(2):
        server.ledger.clear()
        ask("composite/moa/openai/strict", proposers=SIX)
        statuses.append([record.status for record in wire.records(server, "strict")])
    assert statuses[0][-1] == 200
    assert 400 in statuses[0]
    assert statuses[1] == [200]


def test_a_margin_is_left_where_the_tokenizer_is_not_known(ask: Ask, server: ThreadedServer) -> None:
    _talkative(server, 3000)
    server.set_scenario("strict", {"context_window": {"tokens": 8192, "factor": 0.84}})
    ask("composite/moa/openai/strict", proposers=SIX, aggregator={"context_window": 8192})
    assert [record.status for record in wire.records(server, "strict")] == [200]


def test_the_answers_own_tokens_have_their_place(ask: Ask, server: ThreadedServer) -> None:
    _talkative(server, 3000)
    server.set_scenario("strict", {"context_window": {"tokens": 4096}})
    ask("composite/moa/openai/strict", proposers=SIX, max_tokens=1000)
    *_, last = wire.records(server, "strict")
    assert last.status == 200
    assert last.usage is not None
    assert last.usage["prompt_tokens"] + 1000 <= 4096
    _assert_each_shorter(server, "strict")


def test_tools_have_their_place_in_the_window_too(ask: Ask, server: ThreadedServer) -> None:
    _talkative(server, 3000)
    properties = {f"field_{number}": {"type": "string", "description": "word " * 20} for number in range(60)}
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": properties}}}
    server.set_scenario("strict", {"context_window": {"tokens": 8192, "factor": 0.84}})
    ask("composite/moa/openai/strict", proposers=SIX, aggregator={"context_window": 8192}, tools=[tool])
    assert [record.status for record in wire.records(server, "strict")] == [200]


@pytest.mark.parametrize("wording", WORDINGS)
def test_a_question_that_does_not_fit_by_itself_is_a_400(wording: str, ask_both: Ask, server: ThreadedServer) -> None:
    server.set_scenario("strict", {"context_window": {"tokens": 500, "wording": wording}})
    with pytest.raises(composite_llm.FinalCallFailed) as caught:
        ask_both("composite/moa/openai/strict", proposers=[FIRST], messages=LONG_QUESTION)
    assert isinstance(caught.value, litellm.ContextWindowExceededError)
    assert caught.value.status_code == 400
    assert all(record.body["messages"][0] == LONG_QUESTION[0] for record in wire.records(server, "strict"))
