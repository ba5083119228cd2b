"""The examples run."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

import composite_llm

EXAMPLES = ("two_providers", "profiles", "guarded_tools", "mcp_tools", "router")


@pytest.mark.usefixtures("upstream")
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_prints_an_answer(name: str, workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(workplace / "examples" / f"{name}.py"), run_name="__main__")
    assert "SQLite" in (printed := capsys.readouterr().out) or "take a coat" in printed


@pytest.mark.usefixtures("upstream")
def test_the_profiles_file_is_used_as_it_is_written(workplace: Path) -> None:
    import litellm

    composite_llm.register(config=workplace / "examples" / "composite.yaml")
    for name in ("quick", "careful", "samples"):
        messages = [{"role": "user", "content": "Postgres or SQLite?"}]
        response = litellm.completion(model=f"composite/profile/{name}", messages=messages)
        assert composite_llm.get_trace(response).degraded == []
