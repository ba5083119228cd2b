"""`composite config model-info` for a composite of a proxy's configuration, in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import yaml

from tests.support.proxies import EXAMPLE, ROOT


def _command(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "composite_llm", "config", "model-info", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60)


def test_a_composite_of_a_proxys_configuration_gets_its_block() -> None:
    done = _command("team-council", "--proxy", str(EXAMPLE))
    assert done.returncode == 0, done.stderr
    info = yaml.safe_load(done.stdout)["model_info"]
    assert (info["max_input_tokens"], info["supports_function_calling"]) == (128000, True)
    assert info["output_cost_per_token"] > info["input_cost_per_token"] > 0


def test_a_name_that_is_not_there_is_one_line_with_the_nearest_names() -> None:
    done = _command("team-mao", "--proxy", str(EXAMPLE))
    assert done.returncode == 2
    assert "team-moa" in done.stderr
    assert "Traceback" not in done.stderr
