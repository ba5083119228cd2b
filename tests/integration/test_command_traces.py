"""`composite traces open` and `composite traces serve`, as commands."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from composite_llm.model.trace import Trace
from composite_llm.observe.store.store_observer import StoreObserver
from composite_llm.observe.telemetry_settings import TelemetrySettings
from tests.support.html_outline import outline
from tests.support.interpreter import REPOSITORY
from tests.support.telling import a_trace, tell

COMMAND = [sys.executable, "-W", "ignore", "-m", "composite_llm", "traces"]


@pytest.fixture
def kept(tmp_path: Path) -> Trace:
    observer = StoreObserver(TelemetrySettings(path=tmp_path / "traces.db", privacy="full"))
    told = tell(observer, a_trace(), {"user_id": "ada"})
    observer.close()
    return told


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(REPOSITORY), "TMPDIR": str(tmp_path), **more}


def traces(tmp_path: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=tmp_path,
        env=environment(tmp_path, **more),
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


def test_open_writes_the_page_and_shows_it_in_the_browser(kept: Trace, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > {seen}\n')
    browser.chmod(0o755)
    done = traces(tmp_path, "open", kept.id[:8], "--store", "traces.db", BROWSER=f"{browser} %s")
    assert done.returncode == 0, done.stderr
    path = Path(done.stdout.strip())
    assert seen.read_text() == path.as_uri()
    assert path.stat().st_mode & 0o077 == 0
    text = outline(path.read_text(encoding="utf-8")).text
    assert kept.id in text
    assert "answer 1" in text
    assert "User ada" in text


def test_open_takes_the_store_that_telemetry_is_configured_to_write(kept: Trace, tmp_path: Path) -> None:
    arguments = ("open", kept.id, "--output", "run.html", "--no-browser")
    done = traces(tmp_path, *arguments, COMPOSITE_LLM_TELEMETRY=str(tmp_path / "traces.db"))
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'run.html'}\n")
    assert kept.id in (tmp_path / "run.html").read_text(encoding="utf-8")
    (tmp_path / "run.html").unlink()
    (tmp_path / "composite.yaml").write_text("telemetry: traces.db\nprofiles: {}\n")
    assert traces(tmp_path, *arguments).returncode == 0
    assert kept.id in (tmp_path / "run.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("open", "zzz", "--store", "traces.db"), 1, "there is no run 'zzz'"),
        (("open", "zzz", "--store", "none.db"), 1, "there is no such file"),
        (("serve", "--host", "0.0.0.0"), 2, "only a loopback address"),
        (("serve", "--port", "70000"), 2, "65535"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    arguments: tuple[str, ...], code: int, words: str, kept: Trace, tmp_path: Path
) -> None:
    done = traces(tmp_path, *arguments)
    assert done.returncode == code
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_says_its_address_and_ends_when_it_is_told(number: int, kept: Trace, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, "serve", "--port", "0", "--store", "traces.db"],
        cwd=tmp_path,
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+/", said)
        assert found is not None, said
        with urllib.request.urlopen(f"{found[0]}runs/{kept.id}", timeout=20) as answer:
            assert kept.id in answer.read().decode()
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
        assert (process.returncode, out, err) == (0, "", "")
    finally:
        process.kill()
        process.wait()


def test_a_port_that_is_taken_is_said(kept: Trace, tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = traces(tmp_path, "serve", "--port", str(taken.getsockname()[1]), "--store", "traces.db")
    assert done.returncode == 1
    assert "--port" in done.stderr
