"""Limits and cancellation, streamed and not: upstream sees the end at once, and what was spent until then is recorded."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import litellm
import openai
import pytest

import composite_llm
from composite_llm.backend.interface import AttemptRequest
from composite_llm.backend.litellm_backend import LiteLLMBackend
from composite_llm.backend.litellm_facts import LiteLLMFacts
from composite_llm.trace import Trace
from fake_server import ThreadedServer
from tests.support import wire
from tests.support.asking import COUNCIL, FIRST, MOA, SECOND, THIRD
from tests.support.interpreter import REPOSITORY
from tests.support.listening import Listener, listening
from tests.support.streams import asked_anew, eventually, request, streamed, streamed_sync, streaming, text_of

# The brief's 100 ms, and as much again for a busy machine: the clock starts before the server is looked at.
AT_ONCE_S = 0.2


@pytest.fixture
def listener() -> Iterator[Listener]:
    with listening() as heard:
        yield heard


@pytest.fixture(scope="module", autouse=True)
def _warm(_fake: ThreadedServer, provider: None) -> None:
    # LiteLLM imports half of itself at the first call, which is nothing that a limit should measure.
    litellm.completion(**request(_fake, proposers=[FIRST]))
    streamed_sync(_fake, proposers=[FIRST])


@pytest.fixture(params=["plain", "streamed"])
def form(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


async def run(server: ThreadedServer, form: str, model: str = MOA, **options: Any) -> None:
    """One question, in one of both forms."""
    options |= asked_anew()
    if form == "plain":
        await litellm.acompletion(**request(server, model, **options))
    else:
        await streamed(server, model, **options)


async def no_open_request(server: ThreadedServer) -> None:
    """Wait until upstream has nothing left to answer."""
    await asyncio.to_thread(server.wait_until, lambda ledger: ledger.open_requests == 0)


@contextlib.asynccontextmanager
async def ending_at_once(server: ThreadedServer) -> AsyncIterator[None]:
    """What happens inside ends every request that is open, within a moment, and upstream sees the disconnect."""
    await asyncio.to_thread(server.wait_until, lambda ledger: ledger.open_requests > 0)
    open_ones = [record for record in server.ledger.records if record.open]
    started = time.monotonic()
    yield
    await no_open_request(server)
    assert time.monotonic() - started < AT_ONCE_S
    assert all(record.disconnected for record in open_ones)


def assert_spent(trace: Trace, server: ThreadedServer) -> None:
    """The members that answered are in the trace with their tokens."""
    told = sum(
        record.usage["total_tokens"]
        for record in server.ledger.records
        if record.usage is not None and record.status and not record.disconnected
    )
    assert trace.usage.total_tokens >= told > 0
    assert trace.cost_usd is not None
    assert trace.cost_usd > 0


async def test_the_timeout_ends_the_whole_run(server: ThreadedServer, listener: Listener, form: str) -> None:
    server.set_scenario("gpt-4o", {"hang": True})
    started = time.monotonic()
    with pytest.raises(litellm.Timeout) as caught:
        await run(server, form, proposers=[FIRST], timeout=0.4)
    assert 0.3 < time.monotonic() - started < 1.5
    assert isinstance(caught.value, composite_llm.RunTimeout)
    assert caught.value.status_code == 408
    assert caught.value.stages_finished == ("propose",)
    await no_open_request(server)
    assert wire.record(server, "gpt-4o").disconnected
    trace = composite_llm.get_trace(caught.value)
    assert_spent(trace, server)
    heard = await asyncio.to_thread(listener.composite)
    assert not heard.succeeded
    assert heard.response_cost == pytest.approx(trace.cost_usd)


async def test_the_timeout_ends_a_stream_within_its_answer(server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o", {"text": "One two three four.", "hang_after_chunks": 3})
    seen = ""
    with pytest.raises(composite_llm.RunTimeout) as caught:  # noqa: PT012  # the stream is what raises
        async with streaming(server, proposers=[FIRST], timeout=0.5, **asked_anew()) as stream:
            async for chunk in stream:
                seen += text_of([chunk], "content")
    assert seen == "One two "
    final = composite_llm.get_trace(caught.value).calls[-1]
    assert final.attempts[0].estimated
    assert final.usage.completion_tokens > 0


async def test_a_stage_timeout_leaves_the_straggler_behind(server: ThreadedServer, form: str) -> None:
    server.set_scenario("gpt-4.1-mini", {"hang": True})
    started = time.monotonic()
    await run(server, form, proposers=[FIRST, SECOND], stage_timeout_s=0.2)
    assert time.monotonic() - started < 1.5
    assert wire.record(server, "gpt-4.1-mini").disconnected


async def test_a_nodes_timeout_ends_its_attempt_and_falls_back(server: ThreadedServer, form: str) -> None:
    server.set_scenario("gpt-4o", {"hang": True})
    aggregator = {"timeout": 0.2, "num_retries": 0, "fallbacks": [SECOND]}
    await run(server, form, proposers=[FIRST], aggregator=aggregator)
    assert wire.record(server, "gpt-4o").disconnected
    assert wire.record(server, "gpt-4.1-mini").status == 200


async def test_a_nodes_timeout_counts_for_the_whole_attempt_not_for_each_token(server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o", {"text": "word " * 40, "time_per_token_s": 0.02})
    with pytest.raises(openai.APIError) as caught:
        await streamed(server, proposers=[FIRST], aggregator={"timeout": 0.3, "num_retries": 0}, **asked_anew())
    error = getattr(caught.value, "original_exception", None) or caught.value
    assert isinstance(error, composite_llm.FinalCallFailed)
    assert error.received_chars > 0
    assert error.status_code == 408


@pytest.mark.parametrize("stage", ["deliberating", "reviewing", "answering"])
async def test_a_cancelled_task_ends_every_subcall(server: ThreadedServer, form: str, stage: str) -> None:
    hanging = {"deliberating": "gpt-4.1-mini", "reviewing": "gpt-4.1-nano", "answering": "gpt-4o"}[stage]
    server.set_scenario(hanging, {"hang": True})
    task = asyncio.create_task(run(server, form, COUNCIL, members=[FIRST, SECOND], reviewers=[FIRST, THIRD], quorum=2))
    await asyncio.to_thread(
        server.wait_until, lambda ledger: any(r.model == hanging and r.open for r in ledger.records)
    )
    async with ending_at_once(server):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.mark.parametrize("how", ["aclose", "dropped"])
@pytest.mark.parametrize("stage", ["deliberating", "answering"])
async def test_a_stream_that_is_closed_or_dropped_ends_every_subcall(
    server: ThreadedServer, how: str, stage: str
) -> None:
    if stage == "deliberating":
        server.set_scenario("gpt-4.1-mini", {"hang": True})
    else:
        server.set_scenario("gpt-4o", {"text": "One two three four.", "hang_after_chunks": 3})
    stream = await litellm.acompletion(**request(server, proposers=[FIRST, SECOND], **asked_anew()), stream=True)
    seen = ""
    async for chunk in stream:
        seen += text_of([chunk], "reasoning_content") + text_of([chunk], "content")
        if (f"✓ {FIRST}" if stage == "deliberating" else "One two ") in seen:
            break
    logging_obj = stream.logging_obj
    async with ending_at_once(server):
        if how == "aclose":
            await stream.aclose()
        del stream
    await asyncio.to_thread(eventually, lambda: "combined_usage_object" in logging_obj.model_call_details)
    trace = composite_llm.get_trace(_Held(logging_obj))
    assert_spent(trace, server)
    details = logging_obj.model_call_details
    assert details["combined_usage_object"].total_tokens == trace.usage.total_tokens
    assert details["response_cost"] == trace.cost_usd


class _Held:
    """What a callback holds of a stream that is gone."""

    def __init__(self, logging_obj: Any) -> None:
        self.logging_obj = logging_obj


async def test_a_cancelled_run_records_what_it_spent(server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o", {"hang": True})
    stream = await litellm.acompletion(**request(server, proposers=[FIRST, SECOND], **asked_anew()), stream=True)

    async def read() -> None:
        async for _ in stream:
            pass

    task = asyncio.create_task(read())
    await asyncio.to_thread(server.wait_until, lambda ledger: len(ledger.records) == 3)
    async with ending_at_once(server):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    trace = composite_llm.get_trace(stream)
    assert stream.logging_obj.model_call_details["response_cost"] == trace.cost_usd
    assert trace.cost_usd
    assert trace.error == "CancelledError"
    assert [call.status for call in trace.calls] == ["ok", "ok", "cancelled"]


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


async def test_a_cap_on_the_money_ends_a_stream_with_its_own_error(server: ThreadedServer) -> None:
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


INTERRUPTED = """
import sys
import litellm, composite_llm
composite_llm.register()
options = dict(
    model="composite/moa/openai/gpt-4o", proposers=["openai/gpt-4o-mini"], api_key="k", api_base=sys.argv[1],
    messages=[{"role": "user", "content": "Hello"}],
)
try:
    if sys.argv[2] == "plain":
        litellm.completion(**options)
    else:
        for _ in litellm.completion(**options, stream=True):
            pass
except KeyboardInterrupt:
    print("interrupted", flush=True)
    if sys.argv[3] == "stay":
        sys.stdin.read()
"""


@pytest.mark.parametrize("then", ["stay", "leave"])
def test_ctrl_c_in_a_sync_call_ends_every_subcall(server: ThreadedServer, form: str, then: str) -> None:
    server.set_scenario("gpt-4o", {"hang": True})
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONWARNINGS": "ignore"}
    program = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, server.base_url, form, then],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        server.wait_until(lambda ledger: any(r.model == "gpt-4o" and r.open for r in ledger.records), timeout_s=40)
        program.send_signal(signal.SIGINT)
        server.wait_until(lambda ledger: ledger.open_requests == 0)
        assert wire.record(server, "gpt-4o").disconnected
        output, errors = program.communicate(input="", timeout=20)
    finally:
        program.kill()
    assert output == "interrupted\n"
    assert program.returncode == 0, errors
