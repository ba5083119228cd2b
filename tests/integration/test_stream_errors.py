"""Errors of streams: at the call where they can be, else as the end of the stream, always ours and always LiteLLM's."""

from __future__ import annotations

import pickle
from typing import Any

import litellm
import openai
import pytest

import composite_llm
from composite_llm.model.errors import CompositeError
from composite_llm.model.trace import Trace
from fake_server import ThreadedServer
from tests.support.asking import FIRST, MOA, SECOND
from tests.support.streams import asked_anew, request, streamed, streaming, text_of

BAD: dict[str, tuple[str, dict[str, Any], type[CompositeError], int]] = {
    "a value out of range": (MOA, {"samples": 0}, composite_llm.InvalidOption, 400),
    "a misspelt option": (MOA, {"proposer": [FIRST]}, composite_llm.InvalidOption, 400),
    "a node without a model": (MOA, {"proposers": [{"temperature": 1}]}, composite_llm.InvalidOption, 400),
    "an executor that cannot be called": (MOA, {"tool_executor": 3}, composite_llm.InvalidOption, 400),
    "a timeout of nothing": (MOA, {"timeout": -1}, composite_llm.InvalidOption, 400),
    "no messages": (MOA, {"messages": []}, composite_llm.InvalidOption, 400),
    "an unknown strategy": ("composite/mao/openai/gpt-4o", {}, composite_llm.UnknownStrategy, 404),
    "an unknown profile": ("composite/profile/nowhere", {}, composite_llm.UnknownProfile, 404),
}


@pytest.mark.parametrize("case", BAD)
async def test_what_cannot_be_a_run_raises_at_the_call_before_a_stream_exists(
    server: ThreadedServer, case: str
) -> None:
    model, options, kind, status = BAD[case]
    with pytest.raises(kind) as caught:
        await litellm.acompletion(**request(server, model, **options), stream=True)
    assert caught.value.status_code == status
    assert isinstance(caught.value, openai.APIError)
    assert not server.ledger.records


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_a_run_raises_at_a_sync_call_too(server: ThreadedServer, case: str) -> None:
    model, options, kind, status = BAD[case]
    with pytest.raises(kind) as caught:
        litellm.completion(**request(server, model, **options), stream=True)
    assert caught.value.status_code == status
    assert not server.ledger.records


STATUSES: dict[str, tuple[dict[str, Any], int, type[Exception]]] = {
    "rate limited": ({"error": {"status": 429, "retry_after": 60}}, 429, litellm.RateLimitError),
    "rejected": ({"error": {"status": 400}}, 400, litellm.BadRequestError),
    "context window": ({"error": {"context_window": True}}, 400, litellm.ContextWindowExceededError),
    "key refused": ({"error": {"status": 401}}, 502, litellm.exceptions.BadGatewayError),
    "server error": ({"error": {"status": 500}}, 503, litellm.ServiceUnavailableError),
}


@pytest.mark.parametrize("case", STATUSES)
async def test_a_quorum_not_met_before_the_first_delta_is_the_error_of_the_plain_call(
    server: ThreadedServer, case: str
) -> None:
    scenario, status, kind = STATUSES[case]
    server.set_scenario("gpt-4o-mini", scenario)
    options = {"proposers": [{"model": FIRST, "num_retries": 0}], "reasoning": "off"}
    with pytest.raises(composite_llm.QuorumNotMet) as plain:
        await litellm.acompletion(**request(server, **options, **asked_anew()))
    with pytest.raises(openai.APIError) as caught:
        await streamed(server, **options, **asked_anew())
    error = ours(caught.value)
    assert isinstance(error, composite_llm.QuorumNotMet)
    assert isinstance(error, kind)
    assert error.status_code == plain.value.status_code == status
    assert error.message == plain.value.message
    if isinstance(caught.value, litellm.exceptions.MidStreamFallbackError):
        assert caught.value.is_pre_first_chunk
        assert caught.value.status_code == status


@pytest.mark.parametrize("case", STATUSES)
async def test_a_quorum_not_met_ends_a_stream_with_the_same_error_and_says_before_who_failed(
    server: ThreadedServer, case: str
) -> None:
    scenario, status, kind = STATUSES[case]
    server.set_scenario("gpt-4o-mini", scenario)
    chunks = []
    with pytest.raises(openai.APIError) as caught:  # noqa: PT012  # the stream is what raises
        proposers = [{"model": FIRST, "num_retries": 0}, {"model": SECOND}]
        async with streaming(server, proposers=proposers, quorum=2, **asked_anew()) as stream:
            async for chunk in stream:
                chunks.append(chunk)  # noqa: PERF401  # what came before the error counts
    error = ours(caught.value)
    assert isinstance(error, composite_llm.QuorumNotMet)
    assert isinstance(error, kind)
    assert error.status_code == status
    told = text_of(chunks, "reasoning_content")
    assert told.startswith("Proposals: asking")
    assert f"✗ {FIRST}: " in told
    assert text_of(chunks, "content") == ""
    trace = composite_llm.get_trace(caught.value)
    assert_recorded(trace, error)
    assert [call.name for call in trace.calls] == [FIRST, SECOND]
    assert trace.calls[0].status == "failed"


async def test_a_cap_that_forbids_the_first_call_is_an_ordinary_error_where_no_delta_precedes_it(
    server: ThreadedServer,
) -> None:
    stream: Any = await litellm.acompletion(
        **request(server, proposers=[FIRST], max_cost_usd=1e-9, reasoning="off"), stream=True
    )
    with pytest.raises(composite_llm.BudgetExceeded, match="max_cost_usd") as caught:
        await anext(stream)
    assert caught.value.status_code == 402
    assert not server.ledger.records


def ours(error: BaseException) -> CompositeError:
    """Our error: itself, or inside the wrapping that lets a Router fall back."""
    found = getattr(error, "original_exception", None) or error
    assert isinstance(found, CompositeError)
    return found


def assert_recorded(trace: Trace, error: CompositeError) -> None:
    """What clients know a prompt that is too long by is added for them alone."""
    assert trace.error
    assert error.message in (trace.error, f"{trace.error}; this model's maximum context length is exceeded")


@pytest.mark.parametrize("case", STATUSES)
async def test_a_final_call_that_fails_ends_the_stream_with_the_class_of_its_cause(
    server: ThreadedServer, case: str
) -> None:
    scenario, status, kind = STATUSES[case]
    server.set_scenario("gpt-4o", scenario)
    chunks = []
    with pytest.raises(openai.APIError) as caught:  # noqa: PT012  # the stream is what raises
        async with streaming(server, proposers=[FIRST], aggregator={"num_retries": 0}, **asked_anew()) as stream:
            async for chunk in stream:
                chunks.append(chunk)  # noqa: PERF401  # what came before the error counts
    error = ours(caught.value)
    assert isinstance(error, composite_llm.FinalCallFailed)
    assert error.status_code == (500 if case == "server error" else status)
    if case != "server error":
        assert isinstance(error, kind)
    assert "✓ openai/gpt-4o-mini" in text_of(chunks, "reasoning_content")
    assert_recorded(composite_llm.get_trace(caught.value), error)


@pytest.mark.parametrize("where", ["member", "final", "within the answer"])
async def test_no_error_of_a_stream_holds_a_traceback_a_key_or_what_upstream_said(
    server: ThreadedServer, where: str
) -> None:
    secret = {"error": {"status": 500, "message": "sk-UPSTREAM-SECRET in /srv/app/main.py, line 3"}}
    scenario = {"text": "One two three.", "drop": "mid_stream", "drop_after_chunks": 3}
    server.set_scenario("gpt-4o-mini" if where == "member" else "gpt-4o", scenario if where.startswith("w") else secret)
    options = {"proposers": [{"model": FIRST, "num_retries": 0}], "aggregator": {"num_retries": 0}}
    with pytest.raises(openai.APIError) as caught:
        await streamed(server, **options, **asked_anew())
    for error in (caught.value, ours(caught.value)):
        text = f"{error} {error!r}"
        assert "Traceback" not in text
        assert 'File "' not in text
        assert "UPSTREAM" not in text
        assert "sk-test" not in text
        assert "openai/gpt-4o" in text


async def test_a_streams_error_survives_pickling(server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o", {"error": {"status": 400}})
    with pytest.raises(composite_llm.FinalCallFailed) as caught:
        await streamed(server, proposers=[FIRST], **asked_anew())
    again = pickle.loads(pickle.dumps(caught.value))
    assert isinstance(again, composite_llm.FinalCallFailed)
    assert isinstance(again, litellm.BadRequestError)
    assert str(again) == str(caught.value)


async def test_a_router_falls_back_when_a_stream_fails_before_its_first_delta(server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o-mini", {"error": {"status": 500}})
    server.set_scenario("gpt-4.1-mini", {"text": "The other deployment's answer."})
    endpoint = {"api_base": server.base_url, "api_key": "sk-test"}
    composite = {"model": MOA, "proposers": [{"model": FIRST, "num_retries": 0}], "reasoning": "off", **endpoint}
    router = litellm.Router(
        model_list=[
            {"model_name": "panel", "litellm_params": composite},
            {"model_name": "single", "litellm_params": {"model": SECOND, **endpoint}},
        ],
        fallbacks=[{"panel": ["single"]}],
        num_retries=0,
    )
    stream: Any = await router.acompletion(model="panel", stream=True, **asked_anew())
    chunks = [chunk async for chunk in stream]
    assert text_of(chunks, "content") == "The other deployment's answer."
