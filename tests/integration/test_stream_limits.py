"""Limits and cancellation, streamed and not: upstream sees the end, and what was spent until then is told and charged."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

import litellm
import openai
import pytest

import composite_llm
from composite_llm.backend.interface import AttemptRequest
from composite_llm.backend.litellm_backend import LiteLLMBackend
from composite_llm.backend.litellm_facts import LiteLLMFacts
from composite_llm.model.trace import Trace
from fake_server import Ledger, ThreadedServer
from tests.support import wire
from tests.support.asking import COUNCIL, FINAL, FIRST, MOA, SECOND, THIRD
from tests.support.listening import Listener, listening
from tests.support.moving_clock import put_clock_forward
from tests.support.streams import asked_anew, eventually, request, streamed, streaming, text_of

LIMIT_S = 500
"""Longer than any test, and shorter than LiteLLM's own 600 s: it is over when a test puts the clock forward."""


@pytest.fixture
def listener() -> Iterator[Listener]:
    with listening() as heard:
        yield heard


@pytest.fixture(params=["plain", "streamed"])
def form(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


async def run(server: ThreadedServer, form: str, model: str = MOA, **options: Any) -> Trace:
    """One question, in one of both forms."""
    options |= asked_anew()
    if form == "plain":
        return composite_llm.get_trace(await litellm.acompletion(**request(server, model, **options)))
    return (await streamed(server, model, **options)).trace


async def until(server: ThreadedServer, condition: Callable[[Ledger], bool]) -> None:
    """Wait until upstream has seen something."""
    # LiteLLM imports half of itself at a process's first call.
    await asyncio.to_thread(server.wait_until, condition, 40)


def hangs_alone(model: str) -> Callable[[Ledger], bool]:
    """Whether this model's request is open and no other is."""
    return lambda ledger: [record.model for record in ledger.records if record.open] == [model]


@contextlib.asynccontextmanager
async def ending_all(server: ThreadedServer) -> AsyncIterator[None]:
    """What happens inside ends every request that is open, and upstream sees the disconnect."""
    open_ones = [record for record in server.ledger.records if record.open]
    assert open_ones
    yield
    await until(server, lambda ledger: ledger.open_requests == 0)
    assert all(record.disconnected for record in open_ones)


async def over_time(server: ThreadedServer, hanging: str, running: Coroutine[Any, Any, Trace]) -> Trace:
    """Let the limit pass when nothing but one model's request is under way."""
    task = asyncio.create_task(running)
    await until(server, hangs_alone(hanging))
    async with ending_all(server):
        put_clock_forward(LIMIT_S)
        await asyncio.wait([task])
    return await task


def statuses(trace: Trace) -> dict[str, str]:
    """Of each call, by its name."""
    return {call.name: call.status for call in trace.calls}


def assert_spent(trace: Trace, server: ThreadedServer) -> None:
    """The members that answered are in the trace with their tokens."""
    told = [record.usage for record in server.ledger.records if record.usage is not None and not record.disconnected]
    assert trace.usage.total_tokens >= sum(usage["total_tokens"] for usage in told) > 0
    assert trace.cost_usd


async def test_the_timeout_ends_the_whole_run(server: ThreadedServer, listener: Listener, form: str) -> None:
    server.set_scenario("gpt-4o", {"hang": True})
    with pytest.raises(litellm.Timeout) as caught:
        await over_time(server, "gpt-4o", run(server, form, proposers=[FIRST], timeout=LIMIT_S))
    error: Any = caught.value
    assert isinstance(error, composite_llm.RunTimeout)
    assert (error.status_code, error.stages_finished) == (408, ("propose",))
    trace = composite_llm.get_trace(error)
    assert statuses(trace) == {FIRST: "ok", FINAL: "cancelled"}
    assert_spent(trace, server)
    heard = await asyncio.to_thread(listener.composite)
    assert not heard.succeeded
    assert heard.response_cost == pytest.approx(trace.cost_usd)
    assert heard.standard["total_tokens"] == trace.usage.total_tokens


async def test_the_timeout_ends_a_run_whose_members_all_hang(server: ThreadedServer, form: str) -> None:
    server.set_scenario("gpt-4.1-mini", {"hang": True})
    with pytest.raises(composite_llm.RunTimeout) as caught:
        await over_time(server, "gpt-4.1-mini", run(server, form, proposers=[FIRST, SECOND], quorum=2, timeout=LIMIT_S))
    assert statuses(composite_llm.get_trace(caught.value)) == {FIRST: "ok", SECOND: "cancelled"}


async def test_the_timeout_ends_a_stream_within_its_answer(server: ThreadedServer, listener: Listener) -> None:
    server.set_scenario("gpt-4o", {"text": "One two three four.", "hang_after_chunks": 3})
    seen = ""
    with pytest.raises(composite_llm.RunTimeout) as caught:  # noqa: PT012  # the stream is what raises
        async with streaming(server, proposers=[FIRST], timeout=LIMIT_S, **asked_anew()) as stream:
            async for chunk in stream:
                seen += text_of([chunk], "content")
                if seen == "One two ":
                    put_clock_forward(LIMIT_S)
    assert seen == "One two "
    await until(server, lambda ledger: ledger.open_requests == 0)
    assert wire.record(server, "gpt-4o").disconnected
    trace = composite_llm.get_trace(caught.value)
    final = trace.calls[-1]
    assert final.attempts[0].estimated
    assert final.usage.completion_tokens > 0
    heard = await asyncio.to_thread(listener.composite)
    assert heard.response_cost == pytest.approx(trace.cost_usd)


@pytest.mark.parametrize(
    ("limit", "status"),
    [("stage_timeout_s", "timed_out"), ("straggler_grace_s", "abandoned"), ("timeout", "abandoned")],
)
async def test_a_stage_leaves_a_straggler_behind_when_its_time_is_over(
    server: ThreadedServer, form: str, limit: str, status: str
) -> None:
    server.set_scenario("gpt-4.1-mini", {"hang": True})
    # Without a limit of its own, a stage that has its quorum may use its share of the run's time: here the half.
    options = {limit: 1.5 * LIMIT_S if limit == "timeout" else LIMIT_S}
    trace = await over_time(server, "gpt-4.1-mini", run(server, form, proposers=[FIRST, SECOND], **options))
    assert statuses(trace) == {FIRST: "ok", SECOND: status, FINAL: "ok"}
    assert trace.calls[1].attempts[0].status == status
    assert_spent(trace, server)


async def test_a_members_timeout_ends_its_attempt_and_its_fallback_answers(server: ThreadedServer, form: str) -> None:
    server.set_scenario("gpt-4.1-mini", {"hang": True})
    member = {"model": SECOND, "timeout": LIMIT_S, "num_retries": 0, "fallbacks": [THIRD]}
    trace = await over_time(server, "gpt-4.1-mini", run(server, form, proposers=[FIRST, member], quorum=2))
    assert [(attempt.model, attempt.status) for attempt in trace.calls[1].attempts] == [
        (SECOND, "timed_out"),
        (THIRD, "ok"),
    ]


async def test_the_final_nodes_timeout_ends_its_attempt_and_its_fallback_answers(
    server: ThreadedServer, form: str
) -> None:
    server.set_scenario("gpt-4o", {"hang": True})
    aggregator = {"timeout": LIMIT_S, "num_retries": 0, "fallbacks": [SECOND]}
    trace = await over_time(server, "gpt-4o", run(server, form, proposers=[FIRST], aggregator=aggregator))
    assert [(attempt.model, attempt.status) for attempt in trace.calls[-1].attempts] == [
        (FINAL, "timed_out"),
        (SECOND, "ok"),
    ]


async def test_the_final_nodes_timeout_counts_for_the_whole_attempt_not_for_each_token(server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o", {"text": "One two three four.", "hang_after_chunks": 3})
    seen = ""
    with pytest.raises(openai.APIError) as caught:  # noqa: PT012  # the stream is what raises
        aggregator = {"timeout": LIMIT_S, "num_retries": 0, "fallbacks": [SECOND]}
        async with streaming(server, proposers=[FIRST], aggregator=aggregator, **asked_anew()) as stream:
            async for chunk in stream:
                seen += text_of([chunk], "content")
                if seen == "One two ":
                    # Once the reader waits for more: what it takes for itself is not on the model's time.
                    asyncio.get_running_loop().call_soon(put_clock_forward, LIMIT_S)
    error = getattr(caught.value, "original_exception", None) or caught.value
    assert isinstance(error, composite_llm.FinalCallFailed)
    assert (error.status_code, error.received_chars) == (408, len("One two "))
    assert composite_llm.get_trace(caught.value).calls[-1].status == "timed_out"
    assert not wire.records(server, "gpt-4.1-mini")


HANGING = {"proposing": "gpt-4.1-mini", "reviewing": "gpt-4.1-nano", "answering": "gpt-4o"}


@pytest.mark.parametrize("stage", HANGING)
async def test_a_cancelled_task_ends_every_subcall(server: ThreadedServer, form: str, stage: str) -> None:
    server.set_scenario(HANGING[stage], {"hang": True})
    options = {"members": [FIRST, SECOND], "reviewers": [FIRST, THIRD], "quorum": 2}
    task = asyncio.create_task(run(server, form, COUNCIL, **options))
    await until(server, hangs_alone(HANGING[stage]))
    async with ending_all(server):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_cancelled_streams_spending_is_in_its_trace_and_recorded(server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o", {"hang": True})
    stream = await litellm.acompletion(**request(server, proposers=[FIRST, SECOND], **asked_anew()), stream=True)
    task = asyncio.create_task(_read(stream))
    await until(server, hangs_alone("gpt-4o"))
    async with ending_all(server):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    trace = composite_llm.get_trace(stream)
    assert trace.error == "cancelled"
    assert statuses(trace) == {FIRST: "ok", SECOND: "ok", FINAL: "cancelled"}
    assert_recorded(stream.logging_obj, trace)


async def _read(stream: Any) -> None:
    async for _ in stream:
        pass


def assert_recorded(logging_obj: Any, trace: Trace) -> None:
    """What LiteLLM charges for a call that ends early is what the trace says."""
    details = logging_obj.model_call_details
    assert details["combined_usage_object"].total_tokens == trace.usage.total_tokens > 0
    assert details["response_cost"] == trace.cost_usd
    assert trace.cost_usd


@pytest.mark.parametrize("how", ["closed", "dropped"])
@pytest.mark.parametrize("stage", ["proposing", "answering"])
async def test_a_stream_that_is_closed_or_dropped_ends_every_subcall_and_its_spending_is_recorded(
    server: ThreadedServer, how: str, stage: str
) -> None:
    if stage == "proposing":
        server.set_scenario("gpt-4.1-mini", {"hang": True})
    else:
        server.set_scenario("gpt-4o", {"text": "One two three four.", "hang_after_chunks": 3})
    stream = await litellm.acompletion(**request(server, proposers=[FIRST, SECOND], **asked_anew()), stream=True)
    await _read_until(stream, f"✓ {FIRST}" if stage == "proposing" else "One two ")
    await until(server, hangs_alone(HANGING[stage]))
    logging_obj = stream.logging_obj
    async with ending_all(server):
        if how == "closed":
            await stream.aclose()
        del stream
    assert await asyncio.to_thread(eventually, lambda: "combined_usage_object" in logging_obj.model_call_details)
    trace = composite_llm.get_trace(_Held(logging_obj))
    assert trace.error == "cancelled"
    assert trace.calls[-1].status == "cancelled"
    assert_spent(trace, server)
    assert_recorded(logging_obj, trace)


async def _read_until(stream: Any, text: str) -> None:
    seen = ""
    while text not in seen:
        chunk = await anext(stream)
        seen += text_of([chunk], "reasoning_content") + text_of([chunk], "content")


@pytest.mark.parametrize("how", ["closed", "dropped", "cancelled"])
async def test_a_routers_stream_ends_every_subcall_too(server: ThreadedServer, how: str) -> None:
    server.set_scenario("gpt-4o", {"text": "One two three four.", "hang_after_chunks": 3})
    endpoint = {"api_base": server.base_url, "api_key": "sk-test"}
    panel = {"model_name": "panel", "litellm_params": {"model": MOA, "proposers": [FIRST], **endpoint}}
    stream: Any = await litellm.Router(model_list=[panel]).acompletion(model="panel", stream=True, **asked_anew())
    await _read_until(stream, "One two ")
    async with ending_all(server):
        if how == "closed":
            await stream.aclose()
        elif how == "cancelled":
            task = asyncio.create_task(_read(stream))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
        del stream


class _Held:
    """What a callback holds of a stream that is gone."""

    def __init__(self, logging_obj: Any) -> None:
        self.logging_obj = logging_obj


class _SlowToClose(LiteLLMBackend):
    """A backend whose streams take their time to close and then hide, as LiteLLM's do, that they were cancelled."""

    def __init__(self) -> None:
        super().__init__(LiteLLMFacts())
        self.closing = asyncio.Event()

    async def _call(self, request: AttemptRequest, *, stream: bool) -> Any:
        assert stream
        return self

    def __aiter__(self) -> _SlowToClose:
        return self

    async def __anext__(self) -> Any:
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self.closing.set()
        with contextlib.suppress(BaseException):
            await asyncio.Event().wait()


async def test_a_cancellation_that_arrives_while_a_stream_closes_is_not_lost() -> None:
    backend = _SlowToClose()

    async def read() -> str:
        async for _ in backend.stream(AttemptRequest("openai/any", [])):
            pass
        return "went on"

    task = asyncio.create_task(read())
    await backend.closing.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cap_on_the_calls_ends_a_stream_with_its_own_error(server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o", {"text": "Let me see.", "tool_calls": [{"name": "look"}]})
    tools = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
    options = {"tools": tools, "tool_executor": {"look": lambda: "nothing"}, **asked_anew()}
    seen = ""
    with pytest.raises(composite_llm.BudgetExceeded, match="max_calls") as caught:  # noqa: PT012  # the stream raises
        async with streaming(server, proposers=[FIRST], max_calls=3, **options) as stream:
            async for chunk in stream:
                seen += text_of([chunk], "content")
    assert seen == "Let me see.\n\nLet me see."
    assert caught.value.status_code == 402
    assert len(wire.records(server, "gpt-4o")) == 2
