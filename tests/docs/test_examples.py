"""The examples run."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from tests.docs.running import check_profiles

EXAMPLES = (
    "two_providers",
    "profiles",
    "guarded_tools",
    "mcp_tools",
    "router",
    "work/files",
    "work/notes",
    "work/queue",
)


@pytest.mark.usefixtures("upstream")
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_prints_an_answer(name: str, workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(workplace / "examples" / f"{name}.py"), run_name="__main__")
    printed = capsys.readouterr().out
    assert "SQLite" in printed or "take a coat" in printed


@pytest.mark.usefixtures("upstream")
def test_the_audit_prints_what_its_rules_found(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(workplace / "examples" / "work" / "audit.py"), run_name="__main__")
    assert "SQL is put together from texts" in capsys.readouterr().out


@pytest.mark.usefixtures("upstream")
def test_every_profile_of_the_example_answers_as_it_is_written(workplace: Path) -> None:
    check_profiles(workplace / "examples" / "composite.yaml")
