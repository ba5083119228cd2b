"""`composite config check` of a proxy's configuration, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.cli.test_model_info import BROKEN
from tests.support.proxies import EXAMPLES, ROOT

SET = {"UPSTREAM_BASE": "http://127.0.0.1:9/v1", "UPSTREAM_KEY": "sk-x", "PROXY_MASTER_KEY": "sk-y"}


def _check(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "composite_llm", "config", "check", *arguments]
    surroundings = {**os.environ, **environment}
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=150, env=surroundings)


@pytest.mark.parametrize("name", ["config.yaml", "replicas.yaml"])
def test_the_examples_have_no_mistakes(name: str) -> None:
    path = EXAMPLES / name
    done = _check(str(path), **SET)
    assert (done.returncode, done.stdout) == (0, f"{path}: 5 deployments, 2 composites among them, no mistakes\n")
    assert done.stderr == ""


def test_each_mistake_is_a_line_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "proxy.yaml"
    path.write_text(BROKEN.replace("num_retries: 0", "num_retries: 2"), encoding="utf-8")
    done = _check(str(path))
    assert done.returncode == 2
    lines = done.stdout.splitlines()
    assert [line.partition(": ")[0].partition(".yaml:")[2] for line in lines] == ["3:69", "5:81", "5:88", "6:19"]
    assert all(line.startswith(f"{path}:") for line in lines)
    found = json.loads(_check(str(path), "--json").stdout)
    assert [problem["deployment"] for problem in found] == ["small", "team", "team", None]
    assert [problem["line"] for problem in found] == [3, 5, 5, 6]


def test_what_may_be_meant_otherwise_is_told_on_standard_error(tmp_path: Path) -> None:
    path = tmp_path / "proxy.yaml"
    sound = BROKEN.replace("proposers: [smal], layrs: 2", "proposers: [small]").replace("{num_retries: 0}", "{}")
    path.write_text(sound, encoding="utf-8")
    done = _check(str(path), NOT_SET_HERE="set")
    assert done.returncode == 0
    assert "router_settings.num_retries: is not set" in done.stderr
