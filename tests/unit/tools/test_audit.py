from __future__ import annotations

import contextlib
import hashlib
import json
import stat
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from composite_llm.engine.tools import ToolContext
from composite_llm.tools.guard import ToolGuard, ToolRefused
from tests.support.interpreter import run_program

CONTEXT = ToolContext("run-1", "chief", "c1")
FIELDS = {
    "time",
    "run",
    "node",
    "call",
    "tool",
    "arguments",
    "approval",
    "result_digest",
    "result_bytes",
    "error",
    "seconds",
}


def echo(name: str, arguments: dict[str, Any]) -> str:
    return f"{name} är {arguments.get('n')}"


def read(path: Path) -> list[dict[str, Any]]:
    text = path.read_text(encoding="utf-8")
    assert text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("as_text", [False, True], ids=["path", "text"])
async def test_a_file_gets_one_line_for_each_call_behind_what_is_there(as_text: bool, tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_text('{"earlier": true}\n')
    guard = ToolGuard(echo, mode="trust", allow=["look"], audit=str(path) if as_text else path)
    for name, n in (("look", 1), ("look", 2), ("delete", 3)):
        with contextlib.suppress(ToolRefused):
            await guard.run_tool(name, {"n": n, "text": "two\nlines"}, CONTEXT)
    earlier, first, second, refused = read(path)
    assert earlier == {"earlier": True}
    assert set(first) == FIELDS
    assert first["result_digest"] == hashlib.sha256("look är 1".encode()).hexdigest()
    assert first["result_bytes"] == 10
    assert (second["arguments"]["n"], refused["approval"], refused["result_digest"]) == (2, "refused", None)
    assert first["seconds"] >= 0
    assert datetime.fromisoformat(first["time"]).utcoffset() == timedelta(0)


async def test_only_the_owner_may_read_a_new_file(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    await ToolGuard(echo, mode="trust", audit=path)("look", {})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_the_digest_is_of_what_the_model_was_shown() -> None:
    audit: list[dict[str, Any]] = []
    guard = ToolGuard(lambda n, a: "x" * 100, mode="trust", max_output_bytes=10, audit=audit.append)
    shown = await guard("look", {})
    assert audit[0]["result_digest"] == hashlib.sha256(shown.encode()).hexdigest()


async def test_secrets_in_arguments_are_masked_and_the_tool_gets_them_whole(tmp_path: Path) -> None:
    path, seen = tmp_path / "audit.jsonl", []
    secret = {
        "header": "Authorization: Bearer abcdefgh12345678",
        "api_key": "plain",
        "deep": [{"accessToken": "x", "n": 1}],
        "sk-abcdefgh12345678": True,
    }
    guard = ToolGuard(lambda name, arguments: seen.append(arguments), mode="trust", audit=path)
    await guard("look", secret)
    assert seen == [secret]
    (entry,) = read(path)
    assert entry["arguments"] == {
        "header": "Authorization: ***",
        "api_key": "***",
        "deep": [{"accessToken": "***", "n": 1}],
        "***": True,
    }


def test_arguments_that_could_not_be_read_are_written_down_masked() -> None:
    audit: list[dict[str, Any]] = []
    ToolGuard(echo, audit=audit.append).note_unreadable("look", '{"key: sk-abcdefgh12345678', CONTEXT)
    (entry,) = audit
    assert (entry["arguments"], entry["error"], entry["approval"]) == ('{"key: ***', "MalformedArguments", None)


async def test_arguments_nested_deeper_than_can_be_walked_are_still_written_down() -> None:
    audit: list[dict[str, Any]] = []
    deep: Any = 1
    for _ in range(5000):
        deep = [deep]
    await ToolGuard(lambda n, a: "fine", mode="trust", audit=audit.append)("look", {"deep": deep})
    assert audit[0]["arguments"] == "(nested too deep to be shown)"


async def test_an_argument_that_is_no_json_is_written_as_text(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    given = {"path": Path("a/b"), "raw": b"sk-abcdefgh12345678", "lone": "\ud800"}
    await ToolGuard(echo, mode="trust", audit=path)("look", given)
    (entry,) = read(path)
    assert entry["arguments"] == {"path": "a/b", "raw": "b'***'", "lone": "?"}


def test_processes_that_write_the_same_file_keep_each_others_lines_whole(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    done = run_program(
        f"""
        import asyncio, multiprocessing
        from composite_llm.tools.guard import ToolGuard, ToolRefused

        def work(number):
            guard = ToolGuard(lambda n, a: "fine", mode="trust", audit={str(path)!r})
            async def calls():
                await asyncio.gather(*(guard("look", {{"who": number, "pad": "x" * 9000}}) for _ in range(50)))
            asyncio.run(calls())

        workers = [multiprocessing.get_context("fork").Process(target=work, args=(n,)) for n in range(4)]
        for worker in workers: worker.start()
        for worker in workers: worker.join()
        """
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = read(path)
    assert len(lines) == 200
    assert all(line["arguments"]["pad"] == "x" * 9000 for line in lines)
    assert sorted({line["arguments"]["who"] for line in lines}) == [0, 1, 2, 3]
