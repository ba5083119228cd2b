"""`composite serve` starts the real proxy, and the line it prints works."""

from __future__ import annotations

import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.support.commands import environment


# Two processes load LiteLLM, one after the other.
@pytest.mark.timeout(240)
def test_the_printed_line_works_and_ctrl_c_ends_the_proxy(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = tmp_path / "c.yaml"
    # The real endpoints are in the profile; offline, nobody asks them.
    config.write_text(
        "profiles:\n  wise:\n    strategy: council\n    model: anthropic/claude-sonnet-4-5\n"
        "    members: [{model: mistral/mistral-large-latest, api_key: os.environ/NOT_SET}, openai/gpt-4.1-mini]\n",
        encoding="utf-8",
    )
    command = [
        sys.executable,
        "-m",
        "composite_llm",
        "serve",
        "--offline",
        "--config",
        str(config),
        "--port",
        str(port),
    ]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=environment()
    ) as served:
        try:
            assert served.stdout is not None
            assert served.stderr is not None
            line = served.stdout.readline()
            assert line.startswith("curl -s "), served.stderr.read()
            _, _, url, _, authorization, _, _, _, body = shlex.split(line)
            name, _, value = authorization.partition(": ")
            answer = httpx.post(url, headers={name: value}, content=body, timeout=40).json()
            assert answer["model"] == "wise"
            assert answer["choices"][0]["message"]["content"].startswith("**In short:**")
            assert httpx.post(url, content=body, timeout=40).status_code == 401
            served.send_signal(signal.SIGINT)
            assert served.wait(timeout=40) == 130
            assert "Traceback" not in served.stderr.read()
        finally:
            served.kill()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
