"""Where a real server says no, or is told to stop."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import litellm
import pytest

import composite_llm
from tests.real.conftest import Ask, Real

STORY = [{"role": "user", "content": "Write a very long story."}]
LONG = 900
_WITHOUT_NEWS_S = 2.5


def _until(condition: Any, limit_s: float = 60, every_s: float = 0.1) -> None:
    """A server's counters are polled: it tells nobody when they change."""
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(every_s)


def _until_idle(server: Real) -> None:
    """llama.cpp looks for clients that have gone in a second without news only, and each question is news."""
    time.sleep(_WITHOUT_NEWS_S)
    _until(lambda: not server.busy(), every_s=_WITHOUT_NEWS_S)


def test_answers_that_do_not_fit_together_are_cut_to_the_window(ask: Ask, llama_cpp: Real) -> None:
    members = [llama_cpp.node(name=f"p{number}", max_tokens=400, temperature=1.0) for number in range(3)]
    answer = ask(messages=STORY, proposers=members, max_parallel=1)
    assert answer.choices[0].message.content.strip()
    assert any(str(reason).startswith("context_cut") for reason in composite_llm.get_trace(answer).degraded)


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "stream"])
def test_a_question_that_is_too_long_is_a_400_in_words_that_clients_know(
    streamed: bool, ask: Ask, llama_cpp: Real
) -> None:
    with pytest.raises(litellm.ContextWindowExceededError) as caught:
        list(ask(messages=[{"role": "user", "content": "word " * 3000}], stream=streamed))
    assert caught.value.status_code == 400
    assert "maximum context length" in str(caught.value)


@pytest.mark.parametrize("where", ["member", "final"])
@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "stream"])
def test_a_cancelled_run_stops_the_server(streamed: bool, where: str, llama_cpp: Real) -> None:
    async def run() -> None:
        final = llama_cpp.node(max_tokens=LONG)
        answer = await litellm.acompletion(
            **{**final, "model": f"composite/moa/{final['model']}"},
            messages=STORY,
            temperature=0,
            proposers=[llama_cpp.node(max_tokens=LONG if where == "member" else 5)],
            stream=streamed,
        )
        if streamed:
            [chunk async for chunk in answer]

    async def cancelled() -> None:
        answered = llama_cpp.told()[1]
        task = asyncio.create_task(run())
        # A finished call shows in the counters, one under way in the slots.
        passed = 1 if where == "final" else 0
        await asyncio.to_thread(_until, lambda: llama_cpp.told()[1] >= answered + passed and llama_cpp.busy())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    answered = llama_cpp.told()[1]
    _until_idle(llama_cpp)
    assert llama_cpp.told()[1] - answered < LONG * 2 // 3


def test_a_run_that_is_out_of_time_says_so_and_stops_the_server(ask: Ask, llama_cpp: Real) -> None:
    with pytest.raises(composite_llm.CompositeError) as caught:
        ask(messages=STORY, proposers=[llama_cpp.node(max_tokens=LONG)], timeout=3)
    assert caught.value.status_code == 408
    _until_idle(llama_cpp)


def test_a_slow_member_is_left_behind(ask: Ask, llama_cpp: Real) -> None:
    slow = llama_cpp.node(name="slow", max_tokens=LONG)
    answer = ask(messages=STORY, proposers=[llama_cpp.node(name="quick", max_tokens=4), slow], straggler_grace_s=0.2)
    trace = composite_llm.get_trace(answer)
    assert {call.name: call.status for call in trace.calls if call.role == "proposer"}["quick"] == "ok"


def test_a_request_that_the_server_refuses_is_the_callers(ask: Ask, llama_cpp: Real) -> None:
    with pytest.raises(composite_llm.CompositeError) as caught:
        ask(n=2)
    assert caught.value.status_code == 400


def test_a_server_that_is_not_there(ask: Ask, real: Real) -> None:
    gone = {**real.node(name="gone", num_retries=0), "api_base": "http://127.0.0.1:9/v1"}
    answer = ask(proposers=[gone, real.node(name="here")])
    statuses = {call.name: call.status for call in composite_llm.get_trace(answer).calls}
    assert (statuses["gone"], statuses["here"]) == ("failed", "ok")
