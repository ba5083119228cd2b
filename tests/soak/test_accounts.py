"""The storm's judge finds what is wrong."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from composite_llm.model.trace import Attempt, Call, Trace
from composite_llm.model.usage import Usage
from soak.accounts import Accounts
from soak.asking import Storm, question
from soak.gauge import Gauge
from soak.report import Report


def trace(tokens: int, *statuses: str, cost_usd: float | None = None) -> Trace:
    usage = Usage(prompt_tokens=tokens, total_tokens=tokens)
    attempts = [Attempt.model_validate({"model": "m", "start_s": 0, "duration_s": 1, "status": s}) for s in statuses]
    times: dict[str, Any] = {"start_s": 0, "duration_s": 1}
    call = Call(id="1", stage="s", role="r", name="n", model="m", status="ok", attempts=attempts, **times)
    started = datetime.now(UTC)
    cost = tokens * 1e-6 if cost_usd is None else cost_usd
    return Trace(
        id="1", strategy="moa", model="m", started_at=started, duration_s=1, usage=usage, cost_usd=cost, calls=[call]
    )


def record(number: int, tokens: int | None, status: int = 200) -> dict[str, Any]:
    usage = None if tokens is None else {"total_tokens": tokens}
    body = {"messages": [{"role": "user", "content": question(number)}]}
    return {"id": number, "body": body, "status": status, "usage": usage}


@pytest.mark.parametrize(
    ("traced", "records", "complaint"),
    [
        (trace(10, "ok"), [record(1, 10)], None),
        (trace(10, "failed", "ok"), [record(1, None, 500), record(1, 10)], None),
        (trace(10, "ok"), [record(1, 11)], "run 1: 10 tokens in its trace, 11 counted"),
        (trace(11, "ok"), [record(1, 10)], "run 1: 11 tokens in its trace, 10 counted"),
        (trace(10, "ok", "failed"), [record(1, 10)], "run 1: 2 attempts in its trace, 1 requests"),
        (trace(10, "ok"), [record(1, 10), record(1, None, 500)], "run 1: 1 attempts in its trace, 2 requests"),
        (trace(10, "ok", "abandoned"), [record(1, 10)], None),
        (trace(10, "ok", "abandoned"), [record(1, 10), record(1, 7)], None),
        (trace(10, "ok", "ok", "abandoned"), [record(1, 10), record(1, 7), record(1, 8)], "15 tokens more than its 1"),
        (trace(10, "cancelled"), [record(1, 10)], "run 1 left an attempt as cancelled"),
        (trace(0), [record(2, 10)], "run 2: 0 tokens in its trace, 10 counted"),
        (trace(0), [{**record(1, None), "body": {}}], "request 1 is no run's"),
    ],
    ids=[
        "equal", "a failure counts nothing", "too few", "too many", "never sent", "never told", "not arrived",
        "answered in vain", "more than in vain", "left open", "of another run", "of no run",
    ],
)  # fmt: skip
def test_each_runs_trace_is_compared_with_the_requests_of_its_question(
    traced: Trace, records: list[dict[str, Any]], complaint: str | None
) -> None:
    books = Accounts()
    books.run(1, traced)
    books.close(records)
    assert (complaint is None) == (books.problems == [])
    assert complaint is None or complaint in books.problems[0]


def test_two_wrong_runs_do_not_make_up_for_each_other() -> None:
    books = Accounts()
    books.run(1, trace(10, "ok"))
    books.run(2, trace(12, "ok"))
    books.close([record(1, 12), record(2, 10)])
    assert books.traced_tokens == books.counted_tokens
    assert [problem.partition(":")[0] for problem in books.problems] == ["run 1", "run 2"]


CALM = Gauge(tasks=2, threads=20, pooled=19, connections=10, memory_mb=300)


@pytest.mark.parametrize(
    ("end", "complaint"),
    [
        (CALM, None),
        (Gauge(3, 20, 19, 10, 300), "tasks grew from 2 to 3"),
        (Gauge(2, 30, 29, 10, 300), None),
        (Gauge(2, 21, 19, 10, 300), "threads grew from 1 to 2 outside of pools"),
        (Gauge(2, 201, 200, 10, 300), "the pools have 200 threads"),
        (Gauge(2, 20, 19, 10, 331), "memory grew from 300 to 331 MB"),
        (Gauge(2, 20, 19, 90, 300), "90 connections are open"),
    ],
    ids=["calm", "task", "pooled", "thread", "pools", "memory", "connections"],
)
def test_what_is_left_is_told(end: Gauge, complaint: str | None) -> None:
    report = Report(Storm("", runs=1, at_once=5), gauges=[CALM, CALM, end], closed=Gauge(2, 20, 19, 1, 300))
    report.outcomes["answered"] = 1
    assert report.problems == ([complaint] if complaint else [])
    report.closed = Gauge(2, 20, 19, 4, 300)
    assert "3 connections are open though all clients are closed" in report.problems


def test_runs_that_never_ended_and_money_that_does_not_add_up_are_told() -> None:
    report = Report(Storm("", runs=3, at_once=5), gauges=[CALM])
    report.accounts.run(1, trace(10, "ok", cost_usd=1.0))
    report.accounts.close([record(1, 10)])
    assert report.problems == ["0 of 3 runs ended", "no run was answered", "$1.000000 in traces for 10 tokens"]
    assert "WRONG: no run was answered" in report.text
