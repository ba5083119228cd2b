"""Sync streams: from plain code, inside a running loop, from threads; and what stays when nobody reads them on."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import litellm
import pytest

import composite_llm
from composite_llm.provider.portal import PORTAL
from fake_server import ThreadedServer
from tests.support.asking import FIRST, SECOND, THIRD
from tests.support.interpreter import run_program
from tests.support.streams import close, eventually, request, streamed_sync, text_of

THREE = [FIRST, SECOND, THIRD]


def open_stream(server: ThreadedServer, **options: Any) -> Any:
    """A sync stream, not read yet."""
    return litellm.completion(**request(server, **{"proposers": THREE, **options}), stream=True)


def read_until(stream: Iterator[Any], text: str, field: str = "reasoning_content") -> str:
    """Read on until a delta holds a text."""
    seen = ""
    while text not in seen:
        seen += text_of([next(stream)], field)
    return seen


def portal_tasks() -> list[str]:
    """What runs on the portal's loop, LiteLLM's own log worker left out."""

    async def names() -> list[str]:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        described = [repr(task.get_coro()) for task in tasks]
        return [text for text in described if "LoggingWorker" not in text and "Logging." not in text]

    return [name for name in PORTAL.call(names) if "BlockingPortal" not in name and "sleep_until_stopped" not in name]


@pytest.fixture
def idle_portal(server: ThreadedServer) -> int:
    """A portal that has run before: the number of things that run there when nothing does."""
    streamed_sync(server, proposers=[FIRST])
    assert eventually(lambda: len(portal_tasks()) <= 2)
    server.ledger.clear()
    return len(portal_tasks())


def test_a_sync_stream_gives_the_deliberation_and_then_the_answer(server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o", {"text": "The final answer."})
    done = streamed_sync(server, proposers=THREE)
    assert done.content == "The final answer."
    assert done.reasoning.startswith("Proposals: asking")
    assert done.finish_reasons == {0: "stop"}


def test_a_sync_stream_is_live(server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o", {"hang": True})
    stream = open_stream(server)
    read_until(stream, "Aggregation: asking")
    server.wait_until(lambda ledger: any(record.model == "gpt-4o" and record.open for record in ledger.records))
    close(stream)


async def test_a_sync_stream_works_inside_a_running_loop_and_its_members_run_at_once(server: ThreadedServer) -> None:
    assert streamed_sync(server, proposers=THREE).content
    server.set_scenario("*", {"hang": True})
    stream = open_stream(server)
    assert next(stream).choices[0].delta.reasoning_content.startswith("Proposals: asking")
    server.wait_until(lambda ledger: ledger.open_requests == 3)
    close(stream)


def test_sync_streams_from_many_threads_do_not_mix(server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o", {"latency_s": 0.05, "by_content": [
        {"contains": f"question {n}!", "then": {"text": f"answer {n}."}} for n in range(8)
    ]})  # fmt: skip

    def one(number: int) -> str:
        options = {"messages": [{"role": "user", "content": f"question {number}!"}], "proposers": [FIRST]}
        return streamed_sync(server, **options).content

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(one, range(8))) == [f"answer {n}." for n in range(8)]
    assert sum("composite_llm" in thread.name for thread in threading.enumerate()) == 1


def test_a_consumer_that_stops_reading_holds_no_request_open(server: ThreadedServer, idle_portal: int) -> None:
    stream = open_stream(server)
    next(stream)
    # The stream is kept and not read: the run goes on to its end without its consumer.
    server.wait_until(lambda ledger: len(ledger.records) == 4 and ledger.open_requests == 0)
    assert eventually(lambda: len(portal_tasks()) <= idle_portal)
    assert "".join(text_of([chunk], "content") for chunk in stream) == composite_llm.get_trace(stream).calls[-1].content


@pytest.mark.parametrize("moment", ["unread", "deliberating", "answering"])
def test_a_dropped_sync_stream_ends_its_subcalls(server: ThreadedServer, idle_portal: int, moment: str) -> None:
    if moment == "answering":
        server.set_scenario("gpt-4o", {"text": "One two three four.", "hang_after_chunks": 3})
    else:
        server.set_scenario("gpt-4.1-mini", {"hang": True})
    stream = open_stream(server)
    if moment == "deliberating":
        read_until(stream, f"✓ {THIRD}")
    elif moment == "answering":
        read_until(stream, "One", "content")
    else:
        server.wait_until(lambda ledger: len(ledger.records) == 3)
    hanging = [record for record in server.ledger.records if record.open]
    del stream
    server.wait_until(lambda ledger: ledger.open_requests == 0)
    assert all(record.disconnected for record in hanging)
    assert eventually(lambda: len(portal_tasks()) <= idle_portal)


def test_a_closed_sync_stream_stops_and_gives_its_trace(server: ThreadedServer) -> None:
    server.set_scenario("gpt-4.1-mini", {"hang": True})
    stream = open_stream(server)
    read_until(stream, f"✓ {THIRD}")
    close(stream)
    server.wait_until(lambda ledger: ledger.open_requests == 0)
    states = {call.name: call.status for call in composite_llm.get_trace(stream).calls}
    assert states[THIRD] == "ok"
    assert states[SECOND] == "cancelled"


def test_a_stream_in_a_reference_cycle_ends_when_the_cycle_is_collected(server: ThreadedServer) -> None:
    server.set_scenario("gpt-4.1-mini", {"hang": True})
    holder: dict[str, Any] = {"stream": open_stream(server)}
    holder["itself"] = holder
    next(holder["stream"])
    server.wait_until(lambda ledger: len(ledger.records) == 3)
    del holder
    gc.collect()
    server.wait_until(lambda ledger: ledger.open_requests == 0)
    assert any(record.disconnected for record in server.ledger.records)


def test_an_error_in_a_sync_stream_is_ours_and_ends_it(server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o", {"error": {"status": 400}})
    stream = open_stream(server)
    with pytest.raises(composite_llm.FinalCallFailed, match="rejected the request") as caught:
        list(stream)
    assert isinstance(caught.value, litellm.BadRequestError)


def test_an_interpreter_with_an_open_stream_ends_quietly_and_at_once(server: ThreadedServer) -> None:
    server.set_scenario("gpt-4.1-mini", {"hang": True})
    ended = run_program(
        f"""
        import litellm, composite_llm
        composite_llm.register()
        stream = litellm.completion(
            model="composite/moa/openai/gpt-4o", proposers={THREE!r}, stream=True, api_key="k",
            api_base={server.base_url!r}, messages=[{{"role": "user", "content": "Hello"}}],
        )
        print(next(stream).choices[0].delta.reasoning_content)
        """,
        environment={"PYTHONWARNINGS": "ignore"},
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("Proposals: asking")
    assert "Error" not in ended.stderr
    server.wait_until(lambda ledger: ledger.open_requests == 0)
