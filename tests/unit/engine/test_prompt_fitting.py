from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from composite_llm.backend.interface import AttemptRequest, Message, Reply
from composite_llm.config.node import Node
from composite_llm.engine.prompt_fitting import FittedPrompt, fits, fitted, window_of
from composite_llm.engine.request_forms import MOST_SHORTENED
from composite_llm.engine.subcall import ask
from composite_llm.model.errors import ContextWindowExceeded, Failure, StatedWindow
from composite_llm.model.messages import shortened
from tests.support.benches import bench, desk, subcall
from tests.support.scripted_backend import Fail, Say, ScriptedFacts, failing

MODEL = "a/model"


class ByCharacter(ScriptedFacts):
    """Facts of models whose tokens are characters."""

    def count_tokens(self, model: str, messages: Sequence[Message]) -> int:
        return sum(len(str(message.get("content") or "")) for message in messages)


FACTS = ByCharacter()
QUESTION = "Which bridge is the oldest?"


def compose(materials: Sequence[str]) -> list[Message]:
    return [{"role": "user", "content": QUESTION}, {"role": "user", "content": "\n".join(materials)}]


def fit(window: int | None, *materials: str) -> FittedPrompt | None:
    return fitted(FACTS, MODEL, window, materials, compose)


def shown(found: FittedPrompt | None, *materials: str) -> list[int]:
    """How long each of the answers, made of one letter each, still is in the prompt."""
    assert found is not None
    return [found.messages[1]["content"].count(text[0]) for text in materials]


def test_what_fits_is_left_alone() -> None:
    found = fit(1000, "x" * 300, "y" * 300)
    assert found == FittedPrompt(compose(["x" * 300, "y" * 300]))


def test_without_a_known_window_nothing_is_cut() -> None:
    assert fit(None, "x" * 10_000) == FittedPrompt(compose(["x" * 10_000]))


def test_the_longest_is_cut_first_and_the_short_stay_whole() -> None:
    materials = ("x" * 5000, "y" * 300, "z" * 200)
    found = fit(2000, *materials)
    assert found is not None
    assert found.cut == 1
    long, *short = shown(found, *materials)
    assert short == [300, 200]
    assert 1000 < long < 1500


def test_those_that_are_cut_get_the_same_length() -> None:
    materials = ("x" * 9000, "y" * 5000, "z" * 400)
    found = fit(3000, *materials)
    first, second, third = shown(found, *materials)
    assert first == second
    assert third == 400
    assert found is not None
    assert found.cut == 2


def test_head_and_tail_stay_and_a_mark_says_how_much_is_gone() -> None:
    text = "HEAD" + "x" * 5000 + "TAIL"
    found = fit(1000, text)
    assert found is not None
    prompt = found.messages[1]["content"]
    assert prompt.startswith("HEAD")
    assert prompt.endswith("TAIL")
    left_out = len(text) - prompt.count("x") - len("HEADTAIL")
    assert f"[… {left_out} characters left out …]" in prompt


def test_the_callers_own_messages_are_never_cut() -> None:
    found = fit(700, "x" * 5000, "y" * 5000)
    assert found is not None
    assert found.messages[0] == {"role": "user", "content": QUESTION}


def test_a_prompt_that_is_too_long_by_itself_does_not_fit() -> None:
    assert fit(len(QUESTION) - 1, "x" * 5000) is None
    assert fit(10) is None


def test_nothing_is_left_of_answers_that_would_have_to_be_cut_to_almost_nothing() -> None:
    assert fit(len(QUESTION) + 100, "x" * 5000) is None


@given(
    lengths=st.lists(st.integers(0, 6000), max_size=8),
    window=st.integers(1, 12_000),
    alphabet=st.sampled_from(["ab c", "äöü €", "橋は古い", "🌉x"]),
)
@settings(max_examples=300, deadline=None)
def test_what_is_returned_fits_and_is_cut_fairly(lengths: list[int], window: int, alphabet: str) -> None:
    materials = [(alphabet * (length // len(alphabet) + 1))[:length] for length in lengths]
    found = fitted(FACTS, MODEL, window, materials, compose)
    smallest = compose([shortened(text, 200) for text in materials])
    if found is None:
        # Only what does not fit even when cut to the least.
        assert not fits(FACTS, MODEL, smallest, window)
        return
    assert fits(FACTS, MODEL, found.messages, window)
    assert found.messages[0] == compose([])[0]
    if fits(FACTS, MODEL, compose(materials), window):
        assert found == FittedPrompt(compose(materials))
        return
    # The shortest stay whole, the others have one length.
    texts = found.messages[1]["content"]
    whole = sorted(materials, key=len)[: len(materials) - found.cut]
    assert 1 <= found.cut <= len(materials)
    assert all(text in texts for text in whole)


@given(text=st.text(max_size=3000), limit=st.integers(0, 3500))
def test_a_shortened_text_keeps_its_limit_its_head_and_its_tail(text: str, limit: int) -> None:
    short = shortened(text, limit)
    if len(text) <= limit:
        assert short == text
        return
    # The mark itself is the least that can be left.
    head, found, rest = short.partition("\n[… ")
    assert found
    assert text.startswith(head)
    assert text.endswith(rest.partition("left out …]\n")[2])
    assert len(short) <= max(limit, len(f"\n[… {len(text)} characters left out …]\n"))


def node(**settings: Any) -> Node:
    return Node.model_validate({"model": MODEL, **settings})


def test_a_nodes_own_window_is_the_whole_one_with_the_answer_in_it() -> None:
    facts = ScriptedFacts(windows={MODEL: 500})
    assert window_of(facts, node(), 100) == 500
    assert window_of(facts, node(context_window=300), 100) == 200
    assert window_of(facts, node(context_window=300), None) == 300
    assert window_of(facts, node(context_window=50), 100) == 0
    assert window_of(ScriptedFacts(), node(), 100) is None


# --- in a run ------------------------------------------------------------------------------------------------------

LONG = "word " * 500


async def test_candidates_are_cut_for_the_model_that_needs_it_and_that_is_told() -> None:
    facts = ScriptedFacts(windows={"z": 900})
    at = bench("composite/moa/z", {"a": LONG, "b": LONG, "z": "Z"}, proposers=["a", "b"], facts=facts)
    assert await at.text() == "Z"
    (prompt,) = at.backend.prompts("z")
    assert facts.count_tokens("z", prompt) <= 900
    assert str(prompt).count("characters left out") == 2
    assert at.trace.degraded == ["context_cut: z: 2 answers cut to fit z"]
    assert [len(str(call.content)) for call in at.trace.calls[:2]] == [len(LONG), len(LONG)]


async def test_a_member_that_cannot_hold_the_conversation_is_skipped_without_a_call() -> None:
    facts = ScriptedFacts(windows={"a": 3})
    at = bench("composite/moa/z", {"b": "B", "z": "Z"}, proposers=["a", "b"], facts=facts)
    assert await at.text() == "Z"
    assert [request.model for request in at.backend.requests] == ["b", "z"]
    (reason,) = at.trace.degraded
    assert reason.startswith("member_missing: propose: a")
    assert "longer than its context window of 3 tokens" in reason


async def test_a_reviewer_gets_shorter_answers_when_its_window_is_small() -> None:
    facts = ScriptedFacts(windows={"r": 600})
    script = {"a": LONG, "b": LONG, "r": '{"ranking": ["Response A", "Response B"]}', "z": "Z"}
    at = bench("composite/council/z", script, members=["a", "b"], reviewers=["r"], facts=facts)
    assert await at.text() == "Z"
    (prompt,) = at.backend.prompts("r")
    assert facts.count_tokens("r", prompt) <= 600
    assert any(reason.startswith("context_cut: r") for reason in at.trace.degraded)


async def test_a_fallback_with_a_larger_window_gets_the_whole_answers() -> None:
    facts = ScriptedFacts(windows={"z": 900})
    script = {"a": LONG, "b": LONG, "z": failing("rejected"), "y": "Y"}
    at = bench("composite/moa/z", script, proposers=["a", "b"], aggregator={"fallbacks": ["y"]}, facts=facts)
    assert await at.text() == "Y"
    (prompt,) = at.backend.prompts("y")
    assert "characters left out" not in str(prompt)


async def test_a_real_context_window_error_is_met_once_with_shorter_answers() -> None:
    wanted = subcall(
        "z",
        messages=compose([LONG, LONG]),
        materials=(LONG, LONG),
        compose=compose,
        final=True,
    )
    at = desk({"z": [failing("context_window"), Say("Z")]})
    call = at.scope.recorder.open_call("aggregate", "aggregator", "z", "z", None)
    await ask(at.scope, wanted, call)
    first, second = at.backend.prompts("z")
    assert ScriptedFacts().count_tokens("z", second) <= 0.6 * ScriptedFacts().count_tokens("z", first)
    assert second[0] == first[0]
    assert [attempt.next_step for attempt in call.attempts] == ["asked again with shorter answers", None]
    assert at.scope.recorder.degraded == ["context_cut: z: 2 answers cut to fit z"]


async def test_a_prompt_is_made_shorter_some_times_each_time_more() -> None:
    wanted = subcall("z", messages=compose([LONG * 4]), materials=(LONG * 4,), compose=compose, final=True)
    at = desk({"z": failing("context_window", "too long, it said", window=StatedWindow())})
    call = at.scope.recorder.open_call("aggregate", "aggregator", "z", "z", None)
    outcome = await ask(at.scope, wanted, call)
    assert isinstance(outcome, list)
    assert [failed.failure.kind for failed in outcome] == ["context_window"]
    sizes = [ScriptedFacts().count_tokens("z", prompt) for prompt in at.backend.prompts("z")]
    assert len(sizes) == MOST_SHORTENED + 1
    assert all(later <= 0.6 * earlier for earlier, later in pairwise(sizes))


def words_in(request: AttemptRequest) -> int:
    return ScriptedFacts().count_tokens("z", request.messages)


def enforcing(window: int, per_word: float, *, tells: bool) -> Callable[[AttemptRequest], Say | Fail]:
    """A model that counts so many tokens for a word."""

    def step(request: AttemptRequest) -> Say | Fail:
        tokens = int(words_in(request) * per_word)
        told = StatedWindow(window, tokens) if tells else StatedWindow(window)
        return Say("Z") if tokens <= window else Fail(Failure("context_window", "too long", window=told))

    return step


@pytest.mark.parametrize("tells", [True, False], ids=["tells its count", "tells the window alone"])
@pytest.mark.parametrize("per_word", [1.05, 1.3, 2.0])
@pytest.mark.parametrize("known", [True, False])
async def test_a_refusal_that_names_the_window_is_met_within_a_few_tries(
    known: bool, per_word: float, tells: bool
) -> None:
    materials = (LONG * 4, LONG * 6)
    wanted = subcall("z", messages=compose(materials), materials=materials, compose=compose, final=True)
    facts = ScriptedFacts(windows={"z": 1500} if known else {})
    at = desk({"z": enforcing(1500, per_word, tells=tells)}, facts=facts)
    call = at.scope.recorder.open_call("aggregate", "aggregator", "z", "z", None)
    assert isinstance(await ask(at.scope, wanted, call), Reply)
    sizes = [words_in(request) for request in at.backend.asked("z")]
    assert len(sizes) <= (2 if tells else 4)
    assert all(later < earlier for earlier, later in pairwise(sizes))
    endpoint_refusals = at.scope.endpoint_refusals.window("z", "z:443")
    assert (
        endpoint_refusals == pytest.approx(1500 / per_word if tells else 1500, rel=0.01)
        if len(sizes) > 1
        else endpoint_refusals is None
    )


async def test_a_refusal_that_speaks_of_no_window_is_met_once() -> None:
    wanted = subcall("z", messages=compose([LONG]), materials=(LONG,), compose=compose, final=True)
    at = desk({"z": failing("context_window")})
    call = at.scope.recorder.open_call("aggregate", "aggregator", "z", "z", None)
    await ask(at.scope, wanted, call)
    assert len(call.attempts) == 2


async def test_a_provider_whose_count_does_not_go_down_is_given_up() -> None:
    wanted = subcall("z", messages=compose([LONG]), materials=(LONG,), compose=compose, final=True)
    at = desk({"z": failing("context_window", window=StatedWindow(100, 9000))})
    call = at.scope.recorder.open_call("aggregate", "aggregator", "z", "z", None)
    await ask(at.scope, wanted, call)
    assert len(call.attempts) == 2
    assert at.scope.endpoint_refusals.window("z", "z:443") is None


async def test_a_foreign_tokenizer_is_given_a_margin() -> None:
    materials = (LONG * 4, LONG * 6)
    wanted = subcall("z", messages=compose(materials), materials=materials, compose=compose, final=True)
    for foreign, share in ((frozenset({"z"}), 0.9), (frozenset[str](), 1.0)):
        facts = ScriptedFacts(windows={"z": 1500}, foreign=foreign)
        at = desk({"z": "Z"}, facts=facts)
        await ask(at.scope, wanted, at.scope.recorder.open_call("aggregate", "aggregator", "z", "z", None))
        (request,) = at.backend.asked("z")
        assert 0.85 * share * 1500 < words_in(request) <= share * 1500


async def test_when_nothing_can_be_cut_the_providers_own_words_are_the_reason() -> None:
    wanted = subcall("z", messages=compose(["short"]), materials=("short",), compose=compose, final=True)
    at = desk({"z": failing("context_window", "too long, it said")})
    call = at.scope.recorder.open_call("aggregate", "aggregator", "z", "z", None)
    outcome = await ask(at.scope, wanted, call)
    assert isinstance(outcome, list)
    assert [str(failed) for failed in outcome] == ["z: too long, it said"]
    assert [attempt.next_step for attempt in call.attempts] == ["given up: the answers cannot be made shorter"]


async def test_a_prompt_without_answers_is_not_sent_twice() -> None:
    at = desk({"a": failing("context_window")})
    call = at.scope.recorder.open_call("propose", "proposer", "a", "a", None)
    await ask(at.scope, subcall("a"), call)
    assert len(call.attempts) == 1


async def test_a_nested_final_model_that_cannot_hold_the_conversation_is_refused_before_any_call() -> None:
    facts = ScriptedFacts(windows={"small": 3})
    profiles = {"profiles": {"inner": {"strategy": "moa", "model": "small", "proposers": ["a"]}}}
    with pytest.raises(ContextWindowExceeded, match="longer than the 3 tokens that small takes"):
        bench("composite/moa/composite/profile/inner", {}, facts=facts, profiles=profiles, proposers=["a"])
