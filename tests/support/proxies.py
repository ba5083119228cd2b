"""LiteLLM's proxy as users start it: a process of its own, on a free port, with a configuration file."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import anthropic
import httpx
import openai
import yaml

from fake_server import ThreadedServer

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "proxy"
EXAMPLE = EXAMPLES / "config.yaml"
_DEPLOYED = ROOT / "tests" / "proxy" / "deployed"
_START_S = 160.0

# LiteLLM refuses keys that are well known.
MASTER = f"sk-{secrets.token_hex(12)}"
CLIENT = "sk-client-of-the-tests"


@dataclass
class Proxy:
    """A proxy that answers.

    Attributes:
        url: Its address, without a path.
        directory: Where its configuration, its log and what it writes down are.
        http: A client for raw requests.
    """

    url: str
    directory: Path
    process: subprocess.Popen[bytes]
    http: httpx.Client
    keys: dict[str, dict[str, Any]] = field(default_factory=dict)
    _openai: dict[str, openai.OpenAI] = field(default_factory=dict)
    _anthropic: dict[str, anthropic.Anthropic] = field(default_factory=dict)

    def openai(self, key: str = CLIENT) -> openai.OpenAI:
        """OpenAI's official client; it does not retry."""
        if key not in self._openai:
            self._openai[key] = openai.OpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=0, timeout=30)
        return self._openai[key]

    def anthropic(self, key: str = CLIENT) -> anthropic.Anthropic:
        """Anthropic's official client; it does not retry."""
        if key not in self._anthropic:
            self._anthropic[key] = anthropic.Anthropic(
                base_url=self.url, auth_token=key, api_key=None, max_retries=0, timeout=30
            )
        return self._anthropic[key]

    def close(self) -> None:
        """Close the clients."""
        for openai_client in self._openai.values():
            openai_client.close()
        for anthropic_client in self._anthropic.values():
            anthropic_client.close()

    def post(
        self, body: Any, *, path: str = "/v1/chat/completions", key: str = CLIENT, **headers: str
    ) -> httpx.Response:
        """One raw request."""
        sent = {"authorization": f"Bearer {key}", **{name.replace("_", "-"): value for name, value in headers.items()}}
        return self.http.post(f"{self.url}{path}", json=body, headers=sent)

    def get(self, path: str, key: str = CLIENT) -> Any:
        """What it answers to a GET."""
        return self.http.get(f"{self.url}{path}", headers={"authorization": f"Bearer {key}"}).json()

    def add_key(self, key: str, **settings: Any) -> str:
        """A key with these settings of LiteLLM's `UserAPIKeyAuth`."""
        self.keys[key] = settings
        temporary = self.directory / "keys.new"
        temporary.write_text(json.dumps(self.keys), encoding="utf-8")
        temporary.replace(self.directory / "keys.json")
        return key

    def written(self, name: str) -> list[dict[str, Any]]:
        """What `deployed/accounts.py` wrote down: `events` or `charges`."""
        path = self.directory / f"{name}.jsonl"
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []

    def forget(self) -> None:
        """Empty what was written down."""
        for name in ("events", "charges"):
            (self.directory / f"{name}.jsonl").write_text("", encoding="utf-8")

    @property
    def log(self) -> str:
        """All that the proxy printed."""
        return (self.directory / "proxy.log").read_text(encoding="utf-8", errors="replace")


def eventually(look: Callable[[], T], timeout_s: float = 10.0) -> T:
    """What `look` returns, once that is true; the proxy writes its books after it has answered.

    Raises:
        AssertionError: It never is.
    """
    deadline = time.monotonic() + timeout_s
    while not (found := look()):
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)
    return found


def example_config() -> dict[str, Any]:
    """`examples/proxy/config.yaml`."""
    config: dict[str, Any] = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    return config


def deployment(name: str, model: str, info: Mapping[str, Any] | None = None, **settings: Any) -> dict[str, Any]:
    """One entry of a `model_list`."""
    return {
        "model_name": name,
        "litellm_params": {"model": model, **settings},
        "model_info": {"disable_background_health_check": True, **(info or {})},
    }


def with_tests_operator(config: dict[str, Any], deployments: list[dict[str, Any]]) -> dict[str, Any]:
    """The configuration, with more deployments, keys from `deployed/keys.py`, and books from `deployed/accounts.py`."""
    return {
        **config,
        "model_list": [*config["model_list"], *deployments],
        "litellm_settings": {
            **config["litellm_settings"],
            "callbacks": ["accounts.spend_tracking", "accounts.events"],
            "enable_post_custom_auth_checks": True,
        },
        "general_settings": {
            **config["general_settings"],
            "custom_auth": "keys.user_api_key_auth",
            "custom_auth_run_common_checks": True,
        },
    }


@contextlib.contextmanager
def started(config: dict[str, Any], directory: Path, upstream: ThreadedServer, **environment: str) -> Iterator[Proxy]:
    """A proxy with this configuration; it is ended afterwards, with all that it started."""
    directory.mkdir(parents=True, exist_ok=True)
    for file in _DEPLOYED.glob("*.py"):
        shutil.copy(file, directory)
    started_with = directory / "started-with.yaml"
    started_with.write_text(yaml.safe_dump(config), encoding="utf-8")
    port = free_port()
    with (
        (directory / "proxy.log").open("wb") as log,
        httpx.Client(timeout=30) as http,
        subprocess.Popen(
            [_litellm(), "--config", str(started_with), "--host", "127.0.0.1", "--port", str(port)],
            cwd=directory,
            env={**_environment(upstream), **environment},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process,
    ):
        proxy = Proxy(f"http://127.0.0.1:{port}", directory, process, http)
        proxy.add_key(CLIENT)
        try:
            wait_until_up(proxy.url, process, lambda: proxy.log)
            yield proxy
        finally:
            proxy.close()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def wait_until_up(url: str, process: subprocess.Popen[Any], log: Callable[[], str]) -> None:
    """Wait for the first healthy answer.

    Raises:
        AssertionError: It ended, or never answered; with its log.
    """
    deadline = time.monotonic() + _START_S
    while True:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/health/liveliness").status_code == 200:
                return
        assert process.poll() is None, log()
        assert time.monotonic() < deadline, log()
        time.sleep(0.1)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _litellm() -> str:
    return str(Path(sys.executable).parent / "litellm")


def _environment(upstream: ThreadedServer) -> dict[str, str]:
    # Nothing of the machine's own set-up: a proxy that finds a key or a database there is another proxy.
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return {
        **kept,
        "PYTHONPATH": str(ROOT),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        # A crash leaves a stack in the log.
        "PYTHONFAULTHANDLER": "1",
        "UPSTREAM_BASE": upstream.base_url,
        "UPSTREAM_KEY": "sk-upstream-secret",
        "PROXY_MASTER_KEY": MASTER,
    }
