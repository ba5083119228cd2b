from __future__ import annotations

import contextlib
import json
import logging
from typing import Any

import pytest

from composite_llm.model.errors import CompositeError
from composite_llm.observe.log import RunLog
from composite_llm.observe.observer import Observers
from composite_llm.run import Caller, Run, Services
from tests.support.benches import QUESTION, Bench, bench
from tests.support.scripted_backend import Hang, Say, Script, ScriptedBackend, ScriptedFacts, asking_for, failing

MODEL = "composite/moa/chief"
SCRIPT: Script = {"a": Say("alpha", after=1), "b": Hang(), "chief": Say("The answer", after=1.5)}
TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]


def logged(script: Script = SCRIPT, *, caller: Caller | None = None, messages: Any = QUESTION, **options: Any) -> Bench:
    services = Services(ScriptedBackend(script), ScriptedFacts(), observers=Observers([RunLog()]))
    made = bench(MODEL, script, messages, services=services, **options)
    if caller is not None:
        made.run = Run(made.run.plan, messages, services, caller)
    return made


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "composite_llm")
    return caplog


def figures(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name.startswith("composite_")}


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_run_is_one_line_with_its_figures(streamed: bool, log: pytest.LogCaptureFixture) -> None:
    metadata = {"user_id": "ada", "project": "bridges", "tags": ["x"], "user_note": "private"}
    caller = Caller(metadata=metadata, trace_id="trace-1", session_id="session-1", identity="a hash")
    b = logged(proposers=["a", "b"], straggler_grace_s=0.5, caller=caller)
    await (b.items() if streamed else b.run.reply())
    (record,) = log.records
    assert (record.name, record.levelname) == ("composite_llm", "INFO")
    assert record.getMessage() == (f"{MODEL} ok in 3.000 s, 3 calls, 20+10 tokens, $0.500000, degraded: member_missing")
    assert figures(record) == {
        "composite_run_id": b.run.id,
        "composite_model": MODEL,
        "composite_strategy": "moa",
        "composite_status": "ok",
        "composite_streamed": streamed,
        "composite_duration_s": 3,
        "composite_calls": 3,
        "composite_prompt_tokens": 20,
        "composite_completion_tokens": 10,
        "composite_cost_usd": 0.5,
        "composite_degraded": ["member_missing"],
        "composite_error_class": None,
        "composite_trace_id": "trace-1",
        "composite_session_id": "session-1",
        "composite_user_id": "ada",
        "composite_project": "bridges",
    }


async def test_a_failed_run_is_one_line_with_the_class_of_its_error(log: pytest.LogCaptureFixture) -> None:
    b = logged({**SCRIPT, "chief": failing("rejected", "no such model")}, proposers=["a"])
    with contextlib.suppress(CompositeError):
        await b.run.reply()
    (record,) = log.records
    assert record.levelname == "INFO"
    assert record.getMessage().endswith(
        "FinalCallFailed: stage 'aggregate': the final call failed: chief: no such model"
    )
    assert figures(record)["composite_error_class"] == "FinalCallFailed"
    assert figures(record)["composite_status"] == "failed"


async def test_an_unknown_cost_is_said_to_be_unknown(log: pytest.LogCaptureFixture) -> None:
    await logged({**SCRIPT, "a": Say("alpha", cost_usd=None)}, proposers=["a"]).run.reply()
    (record,) = log.records
    assert "cost unknown" in record.getMessage()
    assert figures(record)["composite_cost_usd"] is None


async def test_no_prompt_answer_tool_call_or_key_is_logged(log: pytest.LogCaptureFixture) -> None:
    key = "sk-abcdefgh12345678"
    asks = asking_for(("c1", "look", '{"at": "sky-argument"}'))
    script: Script = {**SCRIPT, "chief": [asks, Say("The answer")]}
    caller = Caller(metadata={"user_id": key, "note": "private"}, identity="a hash")
    messages = [{"role": "user", "content": "the prompt"}]
    executor = {"look": lambda at: "sky-result"}
    options: dict[str, Any] = {"messages": messages, "tools": TOOLS, "tool_executor": executor, "caller": caller}
    await logged(script, proposers=[{"model": "a", "api_key": key, "system": "the persona"}], **options).run.reply()
    (record,) = log.records
    everything = json.dumps([record.getMessage(), figures(record)])
    secrets = (
        key,
        "the prompt",
        "alpha",
        "The answer",
        "sky-argument",
        "sky-result",
        "the persona",
        "private",
        "a hash",
    )
    assert [secret for secret in secrets if secret in everything] == []


async def test_a_line_break_in_a_name_makes_no_second_line(log: pytest.LogCaptureFixture) -> None:
    b = logged({**SCRIPT, "chief": failing("rejected", "no\r\n2026-01-01 INFO forged")}, proposers=["a"])
    with contextlib.suppress(CompositeError):
        await b.run.reply()
    (record,) = log.records
    assert len(record.getMessage().splitlines()) == 1


async def test_nothing_is_logged_above_info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "composite_llm")
    await logged(proposers=["a"]).run.reply()
    assert caplog.records == []
