from __future__ import annotations

import asyncio
import copy
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from composite_llm.engine.tools import ToolContext
from composite_llm.model.errors import InvalidOption
from composite_llm.tools.guard import ToolGuard, ToolRaised, ToolRefused
from tests.support.virtual_time import now

CONTEXT = ToolContext("run-1", "chief", "c1")


def echo(name: str, arguments: dict[str, Any]) -> str:
    return f"{name} {json.dumps(arguments)}"


async def echo_later(name: str, arguments: dict[str, Any]) -> str:
    await asyncio.sleep(1)
    return echo(name, arguments)


def says(verdict: Any, asked: list[str]) -> Any:
    def approve(name: str, arguments: dict[str, Any]) -> Any:
        asked.append(name)
        if isinstance(verdict, Exception):
            raise verdict
        return verdict

    return approve


def says_later(verdict: Any, asked: list[str]) -> Any:
    decide = says(verdict, asked)

    async def approve(name: str, arguments: dict[str, Any]) -> Any:
        await asyncio.sleep(60)
        return decide(name, arguments)

    return approve


APPROVALS = {
    "none": (None, "refused"),
    "sync yes": (lambda asked: says(True, asked), "approved"),
    "sync no": (lambda asked: says(False, asked), "refused"),
    "sync neither": (lambda asked: says("yes", asked), "refused"),
    "sync raising": (lambda asked: says(RuntimeError("away"), asked), "refused"),
    "async yes": (lambda asked: says_later(True, asked), "approved"),
    "async no": (lambda asked: says_later(False, asked), "refused"),
    "async raising": (lambda asked: says_later(RuntimeError("away"), asked), "refused"),
}
# Mode, allow, whether the tool `look` is allowed by name or by the lack of a list.
LISTS = [
    ("manual", None, False),
    ("manual", [], False),
    ("manual", ["look"], True),
    ("manual", ["other"], False),
    ("trust", None, True),
    ("trust", [], False),
    ("trust", ["look"], True),
    ("trust", ["other"], False),
]


@pytest.mark.parametrize("executor", [echo, echo_later], ids=["sync", "async"])
@pytest.mark.parametrize("approval", APPROVALS)
@pytest.mark.parametrize(("mode", "allow", "is_allowed"), LISTS, ids=str)
async def test_a_call_runs_if_it_is_allowed_or_approved_and_is_written_down_either_way(
    mode: Any, allow: Any, is_allowed: bool, approval: str, executor: Any
) -> None:
    asked: list[str] = []
    audit: list[dict[str, Any]] = []
    make, verdict = APPROVALS[approval]
    guard = ToolGuard(executor, mode=mode, allow=allow, approve=make(asked) if make else None, audit=audit.append)
    expected = "allowed" if is_allowed else verdict
    if expected == "refused":
        with pytest.raises(ToolRefused, match=r"^the call of look was not approved$"):
            await guard.run_tool("look", {"at": "sky"}, CONTEXT)
    else:
        assert await guard.run_tool("look", {"at": "sky"}, CONTEXT) == 'look {"at": "sky"}'
    assert asked == ([] if is_allowed or make is None else ["look"])
    (entry,) = audit
    assert (entry["run"], entry["node"], entry["call"], entry["tool"]) == ("run-1", "chief", "c1", "look")
    assert (entry["approval"], entry["arguments"]) == (expected, {"at": "sky"})
    assert entry["error"] == ("ToolRefused" if expected == "refused" else None)
    assert (entry["result_digest"] is None) is (expected == "refused")


@pytest.fixture
def released() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


async def test_an_async_tool_is_stopped_at_its_limit() -> None:
    ended: list[str] = []

    async def hangs(name: str, arguments: dict[str, Any]) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(name)

    audit: list[dict[str, Any]] = []
    guard = ToolGuard(hangs, mode="trust", timeout_s=30, audit=audit.append)
    with pytest.raises(TimeoutError, match=r"^look did not finish within 30 s$"):
        await guard("look", {})
    assert now() == 30
    await asyncio.sleep(0)
    assert ended == ["look"]
    assert audit[0]["error"] == "TimeoutError"


async def test_an_async_tool_that_will_not_be_stopped_is_left_behind(released: threading.Event) -> None:
    async def stubborn(name: str, arguments: dict[str, Any]) -> None:
        while not released.is_set():
            try:
                await asyncio.sleep(1)
            except asyncio.CancelledError:
                continue

    guard = ToolGuard(stubborn, mode="trust", timeout_s=30)
    with pytest.raises(TimeoutError, match="did not finish within 30 s"):
        await guard("look", {})
    assert now() == 30
    released.set()
    await asyncio.sleep(2)
    assert len(asyncio.all_tasks()) == 1


def test_a_sync_tool_is_left_behind_at_its_limit(released: threading.Event) -> None:
    """In real time: a thread cannot be hurried."""
    guard = ToolGuard(lambda name, arguments: released.wait(30), mode="trust", timeout_s=0.05)
    started = time.monotonic()
    with pytest.raises(TimeoutError, match=r"^look did not finish within 0\.05 s$"):
        asyncio.run(guard.run_tool("look", {}, CONTEXT))
    assert time.monotonic() - started < 5


async def test_a_tools_own_timeout_is_not_taken_for_the_guards() -> None:
    def times_out(name: str, arguments: dict[str, Any]) -> None:
        raise TimeoutError("the database did not answer")

    guard = ToolGuard(times_out, mode="trust", timeout_s=30)
    with pytest.raises(TimeoutError, match=r"^the database did not answer$"):
        await guard("look", {})


async def test_the_time_to_approve_is_not_the_tools_time() -> None:
    guard = ToolGuard(echo_later, approve=says_later(True, []), timeout_s=5)
    assert await guard("look", {}) == "look {}"
    assert now() == 61


async def test_cancelling_a_run_stops_its_tool_and_is_written_down() -> None:
    ended: list[str] = []
    audit: list[dict[str, Any]] = []

    async def hangs(name: str, arguments: dict[str, Any]) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(name)

    task = asyncio.create_task(ToolGuard(hangs, mode="trust", audit=audit.append)("look", {}))
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0)
    assert ended == ["look"]
    assert audit[0]["error"] == "cancelled"


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize(
    ("result", "shown"),
    [
        pytest.param("short", "short", id="short"),
        pytest.param("0123456789", "0123456789", id="just fits"),
        pytest.param("0123456789a", "0123456789\n[… cut: 11 bytes in all, 10 shown]", id="one too many"),
        pytest.param("ååååååå", "ååååå\n[… cut: 14 bytes in all, 10 shown]", id="two bytes each"),
        pytest.param("x" + "å" * 6, "xåååå\n[… cut: 13 bytes in all, 10 shown]", id="a letter is not cut in two"),
        pytest.param(b"0123456789a", "0123456789\n[… cut: 11 bytes in all, 10 shown]", id="bytes"),
        pytest.param({"a": "0123456"}, '{"a": "012\n[… cut: 16 bytes in all, 10 shown]', id="json"),
        pytest.param("x" * 10_000_000, "x" * 10 + "\n[… cut: 10000000 bytes in all, 10 shown]", id="10 MB"),
    ],
)
async def test_a_long_result_is_cut_with_a_mark(result: Any, shown: str, is_async: bool) -> None:
    async def later(name: str, arguments: dict[str, Any]) -> Any:
        return result

    guard = ToolGuard(later if is_async else lambda n, a: result, mode="trust", max_output_bytes=10)
    assert await guard("look", {}) == shown


async def test_a_long_error_is_cut_too() -> None:
    def fails(name: str, arguments: dict[str, Any]) -> None:
        raise ValueError("y" * 10_000_000)

    audit: list[dict[str, Any]] = []
    guard = ToolGuard(fails, mode="trust", max_output_bytes=10, audit=audit.append)
    with pytest.raises(ToolRaised) as raised:
        await guard("look", {})
    assert str(raised.value) == "ValueError: yyyyyyyyyy\n[… cut: 10000000 bytes in all, 10 shown]"
    assert audit[0]["error"] == "ValueError"


async def test_sync_questions_are_asked_one_after_the_other() -> None:
    """Two prompts at one terminal would be answered in each other's place."""
    at_once = most = 0

    def approve(name: str, arguments: dict[str, Any]) -> bool:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        threading.Event().wait(0.01)
        at_once -= 1
        return name != "c"

    guard = ToolGuard(echo, approve=approve)
    results = await asyncio.gather(*(guard(name, {}) for name in "abcd"), return_exceptions=True)
    assert most == 1
    assert results[:2] == ["a {}", "b {}"]
    assert isinstance(results[2], ToolRefused)


async def test_async_questions_are_asked_at_once() -> None:
    guard = ToolGuard(echo, approve=says_later(True, []))
    await asyncio.gather(*(guard(name, {}) for name in "abcd"))
    assert now() == 60


async def test_an_audit_that_fails_does_not_fail_the_call(caplog: pytest.LogCaptureFixture) -> None:
    def broken(entry: dict[str, Any]) -> None:
        raise OSError("disk full")

    assert await ToolGuard(echo, mode="trust", audit=broken)("look", {}) == "look {}"
    assert "the audit entry of look could not be written" in caplog.text


def test_a_guard_stays_one_guard_when_it_is_copied() -> None:
    guard = ToolGuard(echo)
    assert copy.deepcopy([guard])[0] is guard


@pytest.mark.parametrize(
    ("executor", "names", "covered"),
    [(echo, ["any"], True), ({"look": echo}, ["look"], True), ({"look": echo}, ["look", "other"], False)],
    ids=["callable", "mapping has it", "mapping lacks it"],
)
def test_a_guard_covers_what_its_executor_covers(executor: Any, names: list[str], covered: bool) -> None:
    assert ToolGuard(executor).covers(names) is covered


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"mode": "paranoid"}, "^mode: got 'paranoid'; allowed: manual or trust"),
        ({"allow": "look"}, "^allow: got 'look'; allowed: a list of tool names"),
        ({"allow": 5}, "^allow: got 5"),
        ({"allow": [1]}, r"^allow: got \[1\]"),
        ({"approve": "yes"}, "^approve: is a str; allowed: a callable"),
        ({"timeout_s": 0}, "^timeout_s: got 0; allowed: a number above 0"),
        ({"timeout_s": -1}, "^timeout_s: got -1"),
        ({"timeout_s": float("nan")}, "^timeout_s: got nan"),
        ({"timeout_s": "5"}, "^timeout_s: got '5'"),
        ({"timeout_s": True}, "^timeout_s: got True"),
        ({"max_output_bytes": 0}, "^max_output_bytes: got 0; allowed: a whole number above 0"),
        ({"max_output_bytes": 1.5}, r"^max_output_bytes: got 1\.5"),
        ({"audit": 5}, "^audit: is a int; allowed: a path or a sync callable"),
        ({"audit": echo_later}, "^audit: is a function; allowed: a path or a sync callable"),
        ({"executor": None}, "^executor: is missing"),
        ({"executor": 5}, "is a int; allowed: a callable"),
        ({"executor": {"look": 5}}, "look: is not callable"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_cannot_be_used_is_named(given: dict[str, Any], says: str) -> None:
    executor = given.pop("executor", echo)
    with pytest.raises(InvalidOption, match=says):
        ToolGuard(executor, **given)


def test_an_audit_that_cannot_be_written_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match=r"^audit: '.*' cannot be written: No such file or directory"):
        ToolGuard(echo, audit=tmp_path / "nowhere" / "audit.jsonl")
