"""Starts the proxy of `config.yaml` beside the fake server, and prints a curl line that works. Ctrl-C ends both."""

from __future__ import annotations

import argparse
import contextlib
import os
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import fake_server

_CONFIG = Path(__file__).parent / "config.yaml"
_START_S = 120


def main() -> int:
    """Run until Ctrl-C, or until the proxy ends."""
    parser = argparse.ArgumentParser(prog="examples.proxy.start")
    parser.add_argument("--port", type=int, default=4000)
    port = parser.parse_args().port
    # LiteLLM refuses keys that are well known, so each start has its own.
    key = os.environ.get("PROXY_MASTER_KEY") or f"sk-{secrets.token_hex(8)}"
    with fake_server.running_in_thread() as upstream:
        environment = {
            **os.environ,
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "UPSTREAM_BASE": upstream.base_url,
            "UPSTREAM_KEY": "sk-any",
            "PROXY_MASTER_KEY": key,
        }
        litellm = str(Path(sys.executable).parent / "litellm")
        command = [litellm, "--config", str(_CONFIG), "--host", "127.0.0.1", "--port", str(port)]
        with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as proxy:
            try:
                _wait(f"http://127.0.0.1:{port}/health/liveliness", proxy)
                print(_curl(port, key), flush=True)
                return proxy.wait()
            except KeyboardInterrupt:
                return 0
            finally:
                proxy.terminate()


def _wait(url: str, proxy: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_S
    while proxy.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(urllib.error.URLError, ConnectionError), urllib.request.urlopen(url):
            return
        time.sleep(0.2)
    sys.exit("the proxy did not start")


def _curl(port: int, key: str) -> str:
    body = '{"model": "team-council", "messages": [{"role": "user", "content": "Postgres or SQLite?"}]}'
    return (
        f"curl -s http://127.0.0.1:{port}/v1/chat/completions -H 'Authorization: Bearer {key}' "
        f"-H 'Content-Type: application/json' -d '{body}'"
    )


if __name__ == "__main__":
    sys.exit(main())
