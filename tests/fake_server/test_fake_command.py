"""The commands."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

import fake_server
from fake_server import __main__ as command
from fake_server import load
from fake_server.running import RunningServer


def _start(*options: str) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-m", "fake_server", *options]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_first_line_is_the_address_and_a_signal_ends_it(tmp_path: Path) -> None:
    scenarios = tmp_path / "scenarios.yaml"
    scenarios.write_text("vendor/model:\n  text: hi\n  latency_s: 0.001\n", encoding="utf-8")
    with _start("--scenarios", str(scenarios)) as process:
        assert process.stdout
        assert process.stderr
        url = process.stdout.readline().strip()
        with urllib.request.urlopen(f"{url}/scenarios") as response:
            assert json.load(response) == {"vendor/model": {"text": "hi", "latency_s": 0.001}}
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert process.stdout.read() == ""
        assert process.stderr.read() == ""


@pytest.mark.parametrize(
    ("name", "content", "named"),
    [
        ("a.json", '{"m": {"nope": 1}}', "nope"),
        ("a.json", "{", "a.json"),
        ("a.yaml", "m: [", "a.yaml"),
        ("a.yaml", "- m", "mapping"),
        ("absent.yaml", None, "absent.yaml"),
    ],
)
def test_wrong_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: str | None, named: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_text(content, encoding="utf-8")
    assert command.main(["--scenarios", str(path)]) == 2
    output = capsys.readouterr()
    assert named in output.err
    assert output.out == ""


def test_runs_in_this_process(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    scenarios = tmp_path / "scenarios.json"
    scenarios.write_text('{"m": {"latency_s": 1e-3}}', encoding="utf-8")
    started = RunningServer.__init__

    def stop_at_once(self: RunningServer, *arguments: Any) -> None:
        started(self, *arguments)
        asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(RunningServer, "__init__", stop_at_once)
    assert command.main(["--scenarios", str(scenarios), "--api-key", "k"]) == 0
    assert capsys.readouterr().out.startswith("http://127.0.0.1:")


async def test_load_counts_what_was_answered(server: fake_server.RunningServer) -> None:
    requests, seconds = await load.drive(server.url, 0.02, 2)
    assert requests == len(server.ledger.records) > 0
    assert seconds >= 0.02


def test_load_prints_the_rate(capsys: pytest.CaptureFixture[str]) -> None:
    assert load.main(["--seconds", "0.01", "--workers", "1"]) == 0
    assert "requests/s" in capsys.readouterr().out
