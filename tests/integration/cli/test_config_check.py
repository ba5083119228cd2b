"""`composite config check` of a proxy's configuration."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.cli.in_process import Done, run_here
from tests.integration.cli.test_model_info import BROKEN
from tests.support.proxies import EXAMPLES

Check = Callable[..., Done]

SET = {"UPSTREAM_BASE": "http://127.0.0.1:9/v1", "UPSTREAM_KEY": "sk-x", "PROXY_MASTER_KEY": "sk-y"}


@pytest.fixture
def check(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Check:
    def checked(*arguments: str, **environment: str) -> Done:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return run_here(capfd, "config", "check", *arguments)

    return checked


@pytest.mark.parametrize("name", ["config.yaml", "replicas.yaml"])
def test_the_examples_have_no_mistakes(name: str, check: Check) -> None:
    path = EXAMPLES / name
    done = check(str(path), **SET)
    assert (done.returncode, done.stdout) == (0, f"{path}: 5 deployments, 2 composites among them, no mistakes\n")
    assert done.stderr == ""


def test_each_mistake_is_a_line_with_its_place(tmp_path: Path, check: Check) -> None:
    path = tmp_path / "proxy.yaml"
    path.write_text(BROKEN.replace("num_retries: 0", "num_retries: 2"), encoding="utf-8")
    done = check(str(path))
    assert done.returncode == 2
    lines = done.stdout.splitlines()
    assert [line.partition(": ")[0].partition(".yaml:")[2] for line in lines] == ["3:69", "5:81", "5:88", "6:19"]
    assert all(line.startswith(f"{path}:") for line in lines)
    found = json.loads(check(str(path), "--json").stdout)
    assert [problem["deployment"] for problem in found] == ["small", "team", "team", None]
    assert [problem["line"] for problem in found] == [3, 5, 5, 6]


def test_what_may_be_meant_otherwise_is_told_on_standard_error(tmp_path: Path, check: Check) -> None:
    path = tmp_path / "proxy.yaml"
    sound = BROKEN.replace("proposers: [smal], layrs: 2", "proposers: [small]").replace("{num_retries: 0}", "{}")
    path.write_text(sound, encoding="utf-8")
    done = check(str(path), NOT_SET_HERE="set")
    assert done.returncode == 0
    assert "router_settings.num_retries: is not set" in done.stderr
