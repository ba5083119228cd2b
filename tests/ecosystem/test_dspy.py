from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import dspy
import pytest

from tests.ecosystem.task import ANSWER, DIFFERENCE, KEY, MODEL, PEOPLE, PROPOSERS, QUESTION, Upstream, call_of


def fields(**values: str) -> dict[str, Any]:
    """A turn of the final model in the form that DSPy's chat adapter asks for."""
    text = "".join(f"[[ ## {name} ## ]]\n{value}\n\n" for name, value in values.items())
    return {"text": f"{text}[[ ## completed ## ]]\n"}


def step(tool: str, **arguments: Any) -> dict[str, Any]:
    """A step of `dspy.ReAct`."""
    return fields(next_thought="Next.", next_tool_name=tool, next_tool_args=json.dumps(arguments))


def play_react(upstream: Upstream) -> None:
    upstream.play(
        step("population", city="Oslo"),
        (str(PEOPLE["Oslo"]), step("population", city="Bergen")),
        (str(PEOPLE["Bergen"]), step("finish")),
        ("Completed.", fields(reasoning="Subtract.", answer=ANSWER)),
    )


@pytest.fixture
def lm(upstream: Upstream) -> Iterator[dspy.LM]:
    made = dspy.LM(
        MODEL, api_base=upstream.base_url, api_key=KEY, proposers=PROPOSERS, num_retries=0, cache=False, temperature=0.5
    )
    with dspy.context(lm=made, track_usage=True):
        yield made


def tokens_in(prediction: Any) -> tuple[int, int]:
    usage = prediction.get_lm_usage()[MODEL]
    return usage["prompt_tokens"], usage["completion_tokens"]


# One user message with the whole trajectory: every step is a turn of its own.
def test_react_deliberates_at_each_step(upstream, lm, population, looked_up):
    play_react(upstream)
    prediction = dspy.ReAct("question -> answer", tools=[population])(question=QUESTION)
    assert prediction.answer == ANSWER
    assert looked_up == ["Oslo", "Bergen"]
    assert upstream.asked == (4, 4)
    assert tokens_in(prediction) == upstream.tokens


# It puts a user message behind the results of tools, which makes a turn of every step here too.
def test_native_tools_are_called(upstream, lm, population, looked_up):
    upstream.play_task(finish=call_of("submit", answer=ANSWER))
    with dspy.context(adapter=dspy.ChatAdapter(use_native_function_calling=True)):
        prediction = dspy.ReActV2("question -> answer", tools=[population])(question=QUESTION)
    assert prediction.answer == ANSWER
    assert looked_up == ["Oslo", "Bergen"]
    assert upstream.asked == (3, 3)
    assert tokens_in(prediction) == upstream.tokens
    upstream.check_only_the_final_model_got("tools")


def test_the_json_adapter_sends_a_schema_to_the_final_model_alone(upstream, lm):
    upstream.play({"text": '{"name": "Oslo", "population": 709037}'})
    with dspy.context(adapter=dspy.JSONAdapter()):
        prediction = dspy.Predict("question -> name: str, population: int")(question="Tell me about Oslo.")
    assert (prediction.name, prediction.population) == ("Oslo", 709037)
    assert upstream.asked == (1, 1)
    assert upstream.bodies("gpt-4.1")[0]["response_format"]["type"] == "json_schema"
    upstream.check_only_the_final_model_got("response_format")


def test_a_reasoning_field_does_not_break_the_call(upstream, lm):
    upstream.play(fields(reasoning="Subtract.", answer=ANSWER))

    class Ask(dspy.Signature):  # type: ignore[misc]  # untyped where mypy runs
        question: str = dspy.InputField()
        reasoning: dspy.Reasoning = dspy.OutputField()
        answer: str = dspy.OutputField()

    assert dspy.Predict(Ask)(question=QUESTION).answer == ANSWER
    assert upstream.asked == (1, 1)


async def test_a_streamed_program(upstream, lm):
    upstream.play(fields(answer=ANSWER))
    listener = dspy.streaming.StreamListener(signature_field_name="answer")
    program = dspy.streamify(dspy.Predict("question -> answer"), stream_listeners=[listener])
    items = [item async for item in program(question=QUESTION)]
    assert items[-1].answer == ANSWER
    assert "".join(item.chunk for item in items if isinstance(item, dspy.streaming.StreamResponse)) == ANSWER
    assert upstream.asked == (1, 1)


def test_the_cache_tells_proposers_apart(upstream):
    upstream.play(fields(answer=ANSWER))
    chosen: dict[str, Any] = {"api_base": upstream.base_url, "api_key": KEY, "num_retries": 0}
    first, second = (dspy.LM(MODEL, proposers=proposers, **chosen) for proposers in (PROPOSERS, PROPOSERS[::-1]))
    for lm in (first, first, second):
        with dspy.context(lm=lm):
            assert dspy.Predict("question -> answer")(question="Which is larger?").answer == ANSWER
    assert upstream.asked == (2, 2)


def test_the_example_runs_as_it_is(upstream):
    play_react(upstream)
    assert DIFFERENCE in upstream.run_example("dspy_program")
    assert upstream.asked == (4, 4)
