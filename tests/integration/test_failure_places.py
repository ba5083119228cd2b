"""A failure names the host and port that failed, whatever went wrong and wherever it is told."""

from __future__ import annotations

from typing import Any

import pytest

import composite_llm
from fake_server import ThreadedServer, running_in_thread
from tests.support.asking import FINAL, FIRST, KEY, SECOND, Ask
from tests.support.streams import asked_anew

QUICK = {"num_retries": 0}


@pytest.fixture
def place(server: ThreadedServer) -> str:
    return server.url.removeprefix("http://")


@pytest.fixture(scope="module")
def closed() -> dict[str, Any]:
    """The connection to a port where nobody listens any more."""
    with running_in_thread() as gone:
        base = gone.base_url
    return {"api_base": base, "api_key": KEY}


def told(ask: Ask, *, stream: bool, **options: Any) -> str:
    try:
        answer: Any = ask(stream=stream, **asked_anew(), **options)
        list(answer)
    except Exception as error:  # noqa: BLE001  # LiteLLM wraps what a client may retry when a stream raises it
        own = getattr(error, "original_exception", None) or error
        assert isinstance(own, composite_llm.CompositeError)
        return str(own)
    raise AssertionError("answered")


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("scenario", [{"error": {"status": 500}}, {"hang": True}, {"drop": "before"}], ids=str)
def test_a_failed_members_place_is_in_the_missed_quorum(
    scenario: dict[str, Any], stream: bool, ask: Ask, server: ThreadedServer, place: str
) -> None:
    server.set_scenario("gpt-4o-mini", scenario)
    message = told(ask, stream=stream, proposers=[{"model": FIRST, "timeout": 0.3, **QUICK}])
    assert f"stage 'propose' needs 1 usable answer, got 0; failed: {FIRST}: {place} " in message


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_a_refused_connection_names_the_port_that_nobody_listens_on(
    stream: bool, ask: Ask, closed: dict[str, Any]
) -> None:
    where = closed["api_base"].removeprefix("http://").removesuffix("/v1")
    member = told(ask, stream=stream, proposers=[{"model": FIRST, **QUICK, **closed}])
    assert f"{FIRST}: {where} unavailable (connection refused, APIConnectionError)" in member


def test_the_final_calls_failure_names_each_place(
    ask: Ask, server: ThreadedServer, closed: dict[str, Any], place: str
) -> None:
    server.set_scenario("gpt-4o", {"error": {"status": 500}})
    final = {**QUICK, "fallbacks": [{"model": SECOND, **QUICK, **closed}]}
    message = told(ask, stream=False, proposers=[FIRST], aggregator=final)
    where = closed["api_base"].removeprefix("http://").removesuffix("/v1")
    assert message.endswith(
        f"stage 'aggregate': the final call failed: {FINAL}: {place} unavailable (HTTP 500, InternalServerError); "
        f"{SECOND}: {where} unavailable (connection refused, APIConnectionError)"
    )


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("silent", ["gpt-4o-mini", "gpt-4o"])
def test_the_end_of_the_runs_time_names_whom_it_waited_for(
    silent: str, stream: bool, ask: Ask, server: ThreadedServer, place: str
) -> None:
    server.set_scenario(silent, {"hang": True})
    message = told(ask, stream=stream, proposers=[FIRST], timeout=1.5)
    assert message.endswith(f"waiting for openai/{silent} ({place})")


def test_a_member_that_the_stage_cut_off_is_told_with_its_place(ask: Ask, server: ThreadedServer, place: str) -> None:
    server.set_scenario("gpt-4o-mini", {"hang": True})
    answer = ask(proposers=[FIRST, SECOND], straggler_grace_s=0.05)
    trace = composite_llm.get_trace(answer)
    (reason,) = trace.degraded
    assert reason.startswith("member_missing: ")
    assert reason.endswith(f"no reply from {place})")
    assert trace.calls[0].attempts[0].error == trace.calls[0].error
