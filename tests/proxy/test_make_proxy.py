"""What `make proxy` starts: the example's configuration as it is."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys

import httpx

from tests.support.proxies import ROOT, free_port


def test_the_curl_line_that_is_printed_works() -> None:
    command = [sys.executable, "-m", "examples.proxy.start", "--port", str(free_port())]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
    ) as process:
        try:
            assert process.stdout is not None
            _, _, url, *rest = shlex.split(process.stdout.readline())
            options = dict(zip(rest[::2], rest[1::2], strict=True))
            headers = dict(
                line.split(": ", 1) for flag, line in zip(rest[::2], rest[1::2], strict=True) if flag == "-H"
            )
            response = httpx.post(url, content=options["-d"], headers=headers, timeout=30)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
    assert response.status_code == 200, response.text
    (choice,) = json.loads(response.text)["choices"]
    assert choice["message"]["content"]
    assert "Synthesis" in choice["message"]["reasoning_content"]
