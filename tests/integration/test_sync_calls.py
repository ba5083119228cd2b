"""`litellm.completion` wherever users call it: plain code, a running loop, many threads, a Router, a forked child."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import litellm
import pytest

import composite_llm
from fake_server import ThreadedServer
from tests.support import wire
from tests.support.asking import COUNCIL, FIRST, KEY, MESSAGES, MOA, SECOND, THIRD, Ask
from tests.support.interpreter import run_program

THREE = [FIRST, SECOND, THIRD]


@pytest.fixture
def patient(server: ThreadedServer) -> ThreadedServer:
    """A server slow enough that calls made at once are seen together."""
    server.set_scenario("*", {"latency_s": 0.15})
    return server


def _most_at_once(server: ThreadedServer, models: int) -> int:
    return max(record.in_flight for record in server.ledger.records[:models])


def test_plain_code_asks_all_members_at_once(ask: Ask, patient: ThreadedServer) -> None:
    ask(proposers=THREE)
    assert _most_at_once(patient, 3) == 3
    assert patient.ledger.records[3].in_flight == 1


async def test_a_running_loop_asks_all_members_at_once_too(ask: Ask, patient: ThreadedServer) -> None:
    assert asyncio.get_running_loop().is_running()
    answer = ask(proposers=THREE)
    assert answer.choices[0].message.content
    assert _most_at_once(patient, 3) == 3


async def test_acompletion_leaves_the_loop_free(patient: ThreadedServer) -> None:
    answers = await asyncio.gather(
        *(
            litellm.acompletion(model=MOA, proposers=THREE, messages=MESSAGES, api_base=patient.base_url, api_key=KEY)
            for _ in range(3)
        )
    )
    assert len({answer.id for answer in answers}) == 3
    assert patient.ledger.max_in_flight == 9


def test_a_council_asks_members_at_once_and_reviewers_at_once(ask: Ask, patient: ThreadedServer) -> None:
    ask(COUNCIL, members=THREE)
    assert [record.in_flight for record in patient.ledger.records] == [1, 2, 3, 1, 2, 3, 1]


def test_twenty_threads_at_once_each_get_their_own_answer(ask: Ask, patient: ThreadedServer) -> None:
    together = threading.Barrier(20)

    def one(number: int) -> tuple[int, litellm.ModelResponse]:
        together.wait()
        return number, ask(messages=[{"role": "user", "content": f"Question {number}."}], proposers=[FIRST, SECOND])

    patient.set_scenario("gpt-4o", {"by_content": [
        {"contains": f"Question {number}.", "then": {"text": f"Answer {number}."}} for number in range(20)
    ]})  # fmt: skip
    with ThreadPoolExecutor(20) as pool:
        for number, answer in pool.map(one, range(20)):
            assert answer.choices[0].message.content == f"Answer {number}."
            assert len(composite_llm.get_trace(answer).calls) == 3
    assert len(patient.ledger.records) == 60
    assert patient.ledger.max_in_flight > 20


@pytest.fixture
def router(server: ThreadedServer) -> litellm.Router:
    deployed = {"model": MOA, "api_base": server.base_url, "api_key": KEY, "proposers": THREE}
    return litellm.Router(model_list=[{"model_name": "wise", "litellm_params": deployed}], num_retries=0)


def test_router_completion_works_in_plain_code(router: litellm.Router, patient: ThreadedServer) -> None:
    answer = router.completion(model="wise", messages=MESSAGES)
    assert composite_llm.get_trace(answer).model == MOA
    assert _most_at_once(patient, 3) == 3


async def test_router_completion_works_in_a_running_loop(router: litellm.Router, patient: ThreadedServer) -> None:
    answer = router.completion(model="wise", messages=MESSAGES)
    assert len(composite_llm.get_trace(answer).calls) == 4
    assert _most_at_once(patient, 3) == 3


async def test_router_acompletion_works(router: litellm.Router, patient: ThreadedServer) -> None:
    answer = await router.acompletion(model="wise", messages=MESSAGES)
    assert len(composite_llm.get_trace(answer).calls) == 4


@pytest.mark.parametrize("failing", [False, True], ids=["after an answer", "after a failure"])
@pytest.mark.parametrize("way", ["completion", "acompletion", "stream"])
def test_a_program_ends_by_itself_and_prints_nothing(way: str, failing: bool, server: ThreadedServer) -> None:
    if failing:
        server.set_scenario("*", {"error": {"status": 400}})
    done = run_program(_program(server, _BODY[way]))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert wire.models(server)


def test_a_program_ends_with_a_stream_left_unread(server: ThreadedServer) -> None:
    server.set_scenario("*", {"hang": True})
    waiting = "while not json.load(urllib.request.urlopen(stats))['open_requests']: time.sleep(0.01)"
    statement = f"""kept = litellm.completion(stream=True, **call); next(iter(kept))
        import json, time, urllib.request
        stats = {server.url + "/stats"!r}
        {waiting}"""
    done = run_program(_program(server, statement))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


_BODY = {
    "completion": "litellm.completion(**call)",
    "acompletion": "import asyncio; asyncio.run(litellm.acompletion(**call))",
    "stream": "list(litellm.completion(stream=True, **call))",
}


def _program(server: ThreadedServer, statement: str) -> str:
    call = {"model": MOA, "proposers": [FIRST], "messages": MESSAGES, "api_base": server.base_url, "api_key": KEY}
    return f"""
    import composite_llm, litellm
    composite_llm.register()
    call = {call!r}
    try:
        {statement}
    except composite_llm.CompositeError:
        pass
    """


@pytest.mark.parametrize("thread", ["threading.Thread(target=ask).start()", "ThreadPoolExecutor(1).submit(ask)"])
def test_a_run_that_a_thread_of_a_finished_program_waits_for_is_finished_too(
    thread: str, server: ThreadedServer
) -> None:
    server.set_scenario("gpt-4o", {"text": "In time.", "latency_s": 0.5})
    call = {"model": MOA, "proposers": [FIRST], "messages": MESSAGES, "api_base": server.base_url, "api_key": KEY}
    done = run_program(
        f"""
        import json, threading, time, urllib.request
        from concurrent.futures import ThreadPoolExecutor
        import composite_llm, litellm
        composite_llm.register()

        def ask():
            litellm.completion(**{call!r})

        {thread}
        while not json.load(urllib.request.urlopen({server.url + "/stats"!r}))["open_requests"]:
            time.sleep(0.01)
        """
    )
    # What LiteLLM does with the answer afterwards may fail: it wants a thread pool that is closed by now.
    assert done.returncode == 0
    assert [(record.model, record.status, record.disconnected) for record in server.ledger.records] == [
        ("gpt-4o-mini", 200, False),
        ("gpt-4o", 200, False),
    ]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_answers_like_its_parent(server: ThreadedServer) -> None:
    call = {"model": MOA, "proposers": [FIRST], "messages": MESSAGES, "api_base": server.base_url, "api_key": KEY}
    done = run_program(
        f"""
        import os
        import composite_llm, litellm
        composite_llm.register()
        call = {call!r}
        first = litellm.completion(**call)
        child = os.fork()
        if child == 0:
            answer = litellm.completion(**call)
            os._exit(0 if answer.choices[0].message.content else 3)
        _, status = os.waitpid(child, 0)
        second = litellm.completion(**call)
        print(os.waitstatus_to_exitcode(status), second.model)
        """
    )
    assert done.stdout == f"0 {MOA}\n", done.stderr
    assert wire.models(server) == ["gpt-4o-mini", "gpt-4o"] * 3


@pytest.fixture
def traced(server: ThreadedServer) -> Iterator[Callable[..., Any]]:
    """Asks in a thread of its own, and takes Ctrl-C there for granted."""
    pool = ThreadPoolExecutor(1)
    yield lambda **options: pool.submit(
        litellm.completion,
        **{"model": MOA, "messages": MESSAGES, "api_base": server.base_url, "api_key": KEY, **options},
    )
    pool.shutdown(wait=True)


def test_a_run_out_of_time_leaves_no_request_open(traced: Callable[..., Any], server: ThreadedServer) -> None:
    server.set_scenario("gpt-4o-mini", {"hang": True})
    with pytest.raises(litellm.Timeout):
        traced(proposers=[FIRST, FIRST], timeout=1).result(30)
    server.wait_until(lambda ledger: ledger.open_requests == 0)
    assert all(record.disconnected for record in server.ledger.records)


async def test_cancelling_acompletion_closes_every_request(server: ThreadedServer) -> None:
    server.set_scenario("gpt-4*", {"hang": True})
    task = asyncio.ensure_future(
        litellm.acompletion(model=MOA, proposers=THREE, messages=MESSAGES, api_base=server.base_url, api_key=KEY)
    )
    await server.until(lambda ledger: ledger.open_requests == 3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await server.until(lambda ledger: ledger.open_requests == 0)
    assert all(record.disconnected for record in server.ledger.records)


_BESIDE: dict[str, str] = {
    "in a thread beside it": "asyncio.run(beside())",
    "before, inside and after": "sync(); asyncio.run(inside()); sync()",
    "from many at once": "asyncio.run(at_once())",
}


@pytest.mark.parametrize("way", _BESIDE)
def test_an_application_with_a_loop_of_its_own_hears_of_no_destroyed_tasks_and_of_every_call(
    way: str, server: ThreadedServer
) -> None:
    done = run_program(
        f"""
        import asyncio
        import litellm
        from litellm.integrations.custom_logger import CustomLogger
        import composite_llm

        class Heard(CustomLogger):
            count = 0
            async def async_log_success_event(self, kwargs, response_obj, start_time, end_time):
                Heard.count += 1

        composite_llm.register(config={{}})
        litellm.callbacks = [Heard()]
        call = dict(messages={MESSAGES!r}, api_base={server.base_url!r}, api_key="none")

        def sync():
            litellm.completion("{MOA}", proposers=["{FIRST}"], **call)

        def plain():
            return litellm.acompletion("{FIRST}", **call)

        async def heard(expected):
            while Heard.count < expected:
                await asyncio.sleep(0.01)

        async def beside():
            await plain()
            await asyncio.to_thread(sync)
            await plain()
            await asyncio.to_thread(sync)
            await asyncio.wait_for(heard(6), 20)

        async def inside():
            sync()
            await plain()
            sync()
            await asyncio.wait_for(heard(7), 20)

        async def at_once():
            await asyncio.gather(*[asyncio.to_thread(sync) for _ in range(4)], *[plain() for _ in range(4)])
            await asyncio.wait_for(heard(12), 20)

        {_BESIDE[way]}
        """
    )
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)
