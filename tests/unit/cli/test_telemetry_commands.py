"""`composite traces list|show|export`, `costs`, `usage` and `prune`, as processes on a store."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from composite_llm.model.trace import Trace
from composite_llm.observe.store.store_observer import StoreObserver
from composite_llm.observe.telemetry_settings import TELEMETRY_VARIABLE, TelemetrySettings
from tests.support.commands import Terminal, run_command
from tests.support.interpreter import run_program
from tests.support.telling import a_call, a_trace, tell

BEGAN = datetime(2026, 11, 2, 12, tzinfo=UTC)
FAILED = a_call(2, "openai/mini", cost_usd=0.0, status="failed", error="stage 'propose': rate limited", content=None)
FIRST = a_trace(
    [a_call(1, "anthropic/opus", cost_usd=2.0), FAILED],
    id="aaaa1111" * 4,
    model="composite/profile/wise",
    started_at=BEGAN,
    degraded=["member_missing: openai/mini"],
)
SECOND = a_trace(
    [a_call(1, "local/llama", cost_usd=None, content="evil \x1b[2J answer")],
    id="bbbb2222" * 4,
    error="the final call failed",
    started_at=BEGAN + timedelta(days=1),
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "traces.db"
    observer = StoreObserver(TelemetrySettings(path=path, privacy="full", max_age_days=None))
    tell(observer, FIRST, {"user_id": "ada", "project": "apollo"})
    tell(observer, SECOND, messages=[{"role": "user", "content": "Why?"}])
    observer.close()
    return path


def out(store: Path, *arguments: str, code: int = 0) -> str:
    done = run_command([*arguments, "--store", str(store)])
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


def rows(text: str) -> list[list[str]]:
    return [line.split("\t") for line in text.splitlines()]


def test_the_list_has_a_line_for_each_run_the_newest_first(store: Path) -> None:
    heads, second, first = rows(out(store, "traces", "list"))
    assert heads == ["ID", "BEGAN (UTC)", "STATUS", "MODEL", "CALLS", "TOKENS", "COST", "TIME"]
    assert second == [
        "bbbb2222", "2026-11-03 12:00:00", "failed", "moa/openai/gpt-4o", "1", "15", "$0.000000 + ?", "2.0 s",
    ]  # fmt: skip
    assert first == [
        "aaaa1111", "2026-11-02 12:00:00", "ok, degraded", "profile/wise", "2 (1 failed)", "30", "$2.000000", "2.0 s",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "filters",
    [
        ["--user", "ada"],
        ["--project", "apollo"],
        ["--profile", "wise"],
        ["--model", "opus"],
        ["--status", "ok"],
        ["--until", "2026-11-03"],
        ["--offset", "1"],
    ],
    ids=" ".join,
)
def test_the_list_shows_what_is_asked_for(store: Path, filters: Sequence[str]) -> None:
    found = json.loads(out(store, "traces", "list", "--json", *filters))
    assert [run["id"] for run in found] == [FIRST.id]


def test_a_run_is_shown_with_its_calls_and_what_went_wrong(store: Path) -> None:
    shown = out(store, "traces", "show", "aaaa")
    assert "status     ok, degraded" in shown
    assert "user       ada" in shown
    assert "propose\topenai/mini\topenai/mini\tfailed\t1\t15\t$0.000000\t0.0 s\t1.0 s" in shown
    assert "degraded: member_missing: openai/mini" in shown
    assert "propose openai/mini: stage 'propose': rate limited" in shown


def test_what_a_model_wrote_moves_no_cursor(store: Path) -> None:
    shown = out(store, "traces", "show", "bbbb")
    assert "evil [2J answer" in shown
    assert "\x1b" not in shown
    assert "question   Why?" in shown


def test_an_exported_trace_is_the_trace(store: Path, tmp_path: Path) -> None:
    assert Trace.model_validate_json(out(store, "traces", "export", FIRST.id)) == FIRST
    out(store, "traces", "export", "aaaa", "-o", str(tmp_path / "trace.json"))
    assert Trace.model_validate_json((tmp_path / "trace.json").read_text(encoding="utf-8")) == FIRST


@pytest.mark.parametrize(
    ("by", "groups"),
    [
        ("model", ["anthropic/opus", "openai/mini", "local/llama"]),
        ("provider", ["anthropic", "openai", "local"]),
        ("profile", ["wise", "(none)"]),
        ("day", ["2026-11-02", "2026-11-03"]),
        ("key", ["(none)"]),
    ],
)
def test_costs_add_up_by_what_is_asked_for(store: Path, by: str, groups: list[str]) -> None:
    heads, *lines, total = rows(out(store, "costs", "--by", by))
    assert heads[0] == by.upper()
    assert sorted(line[0] for line in lines) == sorted(groups)
    assert (total[0], total[-1]) == ("total", "$2.000000 + ?")


def test_costs_begin_where_they_are_told_to(store: Path) -> None:
    (found,) = json.loads(out(store, "costs", "--since", "2026-11-03", "--json"))
    assert (found["group"], found["cost_usd"], found["unpriced"]) == ("local/llama", None, 1)


def test_usage_tells_calls_tokens_errors_and_costs_and_those_of_all_time(store: Path) -> None:
    heads, *lines, total = rows(out(store, "usage"))
    assert heads == ["BACKEND", "CALLS", "ATTEMPTS", "FAILED", "TOKENS IN", "TOKENS OUT", "COST"]
    assert ["openai/mini", "1", "1", "1", "10", "5", "$0.000000"] in lines
    assert total == ["all time", "3", "3", "1", "30", "15", "$2.000000 + ?"]
    heads, *lines, _ = rows(out(store, "usage", "--by", "project"))
    assert (heads[:2], sorted(line[:2] for line in lines)) == (["PROJECT", "RUNS"], [["(none)", "1"], ["apollo", "1"]])
    assert rows(out(store, "usage", "--by", "all"))[1][:2] == ["all time", "2"]


def test_pruning_says_what_it_removed(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    observer = StoreObserver(TelemetrySettings(path=path, max_age_days=None))
    for days in (40, 20):
        tell(observer, a_trace(started_at=datetime.now(UTC) - timedelta(days=days)))
    observer.close()
    assert out(path, "prune", "--older-than", "30d").startswith("removed 1 run; ")
    assert json.loads(out(path, "prune", "--max-size", "0MB", "--json"))["runs"] == 1


def test_without_limits_pruning_keeps_to_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "composite.yaml").write_text("telemetry: {path: here.db, max_age_days: 10}")
    observer = StoreObserver(TelemetrySettings(path=tmp_path / "here.db", max_age_days=None))
    tell(observer, a_trace(started_at=datetime.now(UTC) - timedelta(days=20)))
    observer.close()
    done = run_command(["prune"], cwd=tmp_path)
    assert (done.returncode, done.stdout.split(";")[0]) == (0, "removed 1 run")


def test_the_store_is_found_where_telemetry_is_configured(store: Path, tmp_path: Path) -> None:
    done = run_command(["traces", "list", "--json"], cwd=tmp_path, more={TELEMETRY_VARIABLE: str(store)})
    assert len(json.loads(done.stdout)) == 2
    (tmp_path / "composite.yaml").write_text(f"telemetry: {store}\n")
    assert len(json.loads(run_command(["traces", "list", "--json"], cwd=tmp_path).stdout)) == 2


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["traces", "show", "cccc"], 1, "there is no run 'cccc'; 'composite traces list' shows their ids"),
        (["traces", "list", "--since", "soon"], 2, "--since 'soon': write a span such as 24h or 7d, or a day"),
        (["prune", "--max-size", "big"], 2, "--max-size 'big': write a size such as 200MB or 1GB"),
        (["costs", "--by", "colour"], 2, "'colour' is not one of"),
    ],
    ids=str,
)
def test_a_mistake_is_one_line_that_helps(store: Path, arguments: list[str], code: int, said: str) -> None:
    (line,) = out(store, *arguments, code=code).splitlines()
    assert line.startswith("composite: ")
    assert said in line


def test_a_store_that_is_not_there_says_how_to_get_one(tmp_path: Path) -> None:
    said = out(tmp_path / "none.db", "costs", code=1)
    assert "there is no such file; has telemetry been on?" in said


def test_on_a_terminal_the_list_is_drawn_as_a_table(store: Path) -> None:
    terminal = Terminal(["traces", "list", "--store", str(store)], columns=120)
    shown = terminal.wait_for("profile/wise")
    assert terminal.end() == 0
    assert "─" in shown
    assert "\t" not in shown


def test_none_of_these_commands_loads_litellm(store: Path) -> None:
    commands: list[list[str]] = [["traces", "list"], ["traces", "show", "aaaa"], ["costs"], ["usage"], ["prune"]]
    source = """
        import sys
        from composite_llm.cli.app import app
        from composite_llm.cli.exits import run
        for arguments in {commands!r}:
            assert run(app, [*arguments, "--store", {store!r}]) == 0, arguments
        assert "litellm" not in sys.modules
    """
    values: dict[str, Any] = {"commands": commands, "store": str(store)}
    done = run_program(source.format(**values))
    assert done.returncode == 0, done.stderr
