"""Two proxies that share nothing but Redis, with LiteLLM's cache on."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import redis
import yaml

from fake_server import ThreadedServer
from tests.support import wire
from tests.support.proxies import (
    CLIENT,
    EXAMPLES,
    Proxy,
    deployment,
    eventually,
    example_config,
    free_port,
    started,
    wait_until_up,
    with_tests_operator,
)

pytestmark = [
    pytest.mark.skipif(shutil.which("redis-server") is None, reason="needs redis-server; Debian has a package"),
    pytest.mark.xdist_group("replicas"),
]
# Debian puts servers where not every user looks.
_PATH = f"{os.environ['PATH']}:/usr/sbin"
CACHED = {"cache": {"use-cache": True}}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}


@dataclass
class Replicas:
    """Two proxies, and a client that takes turns."""

    first: Proxy
    second: Proxy
    shared: redis.Redis
    _turns: int = 0

    def post(self, **body: Any) -> dict[str, Any]:
        """A chat completion by the next proxy."""
        proxy = (self.first, self.second)[self._turns % 2]
        self._turns += 1
        response = proxy.post(body)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def post_and_keep(self, **body: Any) -> dict[str, Any]:
        """A chat completion whose answer is in the cache afterwards; LiteLLM puts it there after it has answered."""
        answer = self.post(**body)
        eventually(lambda: any(answer["id"].encode() in text for text in self._texts()))
        return answer

    def _texts(self) -> list[bytes]:
        keys = [key for key in self.shared.scan_iter() if self.shared.type(key) == b"string"]
        return [text for key in keys if isinstance(text := self.shared.get(key), bytes)]


@contextlib.contextmanager
def redis_server() -> Iterator[int]:
    """A Redis on the loopback that keeps nothing."""
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        client = redis.Redis(port=port)
        try:
            while True:
                with contextlib.suppress(redis.ConnectionError):
                    if client.ping():
                        break
                time.sleep(0.05)
            yield port
        finally:
            client.close()
            process.terminate()


@pytest.fixture(scope="session")
def _replicas(_upstream: ThreadedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replicas]:
    config = with_tests_operator(
        example_config(),
        [
            deployment("tools", "openai/calls-tools", api_base=_upstream.base_url, api_key="sk-upstream-secret"),
            deployment("agent", "composite/moa/tools", proposers=["small"]),
            deployment("samples", "composite/moa/large", {"composite": {"client_may_set": ["proposers"]}}, samples=3),
        ],
    )
    with redis_server() as port, contextlib.ExitStack() as stack:
        first, second = (
            stack.enter_context(
                started(
                    yaml.safe_load((EXAMPLES / "replicas.yaml").read_text(encoding="utf-8")),
                    _replica(tmp_path_factory.mktemp(name), config),
                    _upstream,
                    REDIS_HOST="127.0.0.1",
                    REDIS_PORT=str(port),
                )
            )
            for name in ("first", "second")
        )
        with redis.Redis(port=port) as shared:
            yield Replicas(first, second, shared)


def _replica(directory: Path, config: dict[str, Any]) -> Path:
    """The files that `replicas.yaml` includes."""
    (directory / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    shutil.copy(EXAMPLES / "redis.yaml", directory)
    return directory


@pytest.fixture
def replicas(_replicas: Replicas, upstream: ThreadedServer) -> Replicas:
    """Both of them; the upstream's ledger is empty."""
    return _replicas


def test_an_agents_steps_on_two_proxies_deliberate_once(replicas: Replicas, upstream: ThreadedServer) -> None:
    messages: list[dict[str, Any]] = [{"role": "user", "content": "How is the weather in Oslo?"}]
    first = replicas.post(model="agent", messages=messages, tools=[TOOL])
    (call,) = first["choices"][0]["message"]["tool_calls"]
    messages += [
        first["choices"][0]["message"],
        {"role": "tool", "tool_call_id": call["id"], "content": "4 degrees"},
    ]
    second = replicas.post(model="agent", messages=messages, tools=[TOOL])
    assert second["choices"][0]["message"]["content"] == "Take a coat."
    assert wire.models(upstream) == ["gpt-4o-mini", "calls-tools", "calls-tools"]


def test_samples_of_one_model_stay_different_with_the_cache_on(replicas: Replicas, upstream: ThreadedServer) -> None:
    replicas.post(**CACHED, model="samples", messages=[{"role": "user", "content": "Are samples samples?"}])
    assert wire.models(upstream) == ["gpt-4o"] * 4


def test_a_repeated_request_is_a_hit_on_either_proxy_and_costs_nothing(
    replicas: Replicas, upstream: ThreadedServer
) -> None:
    request: dict[str, Any] = {
        "model": "team-moa",
        **CACHED,
        "messages": [{"role": "user", "content": "What is asked twice?"}],
    }
    first = replicas.post_and_keep(**request)
    upstream.ledger.clear()
    second = replicas.post(**request)
    assert upstream.ledger.records == []
    assert second["choices"][0]["message"]["content"] == first["choices"][0]["message"]["content"]


def test_an_answer_that_lacks_a_member_is_no_hit(replicas: Replicas, upstream: ThreadedServer) -> None:
    request: dict[str, Any] = {
        "model": "team-moa",
        **CACHED,
        "messages": [{"role": "user", "content": "Who is missing?"}],
    }
    upstream.set_scenario("gpt-4o-mini", {"error": {"status": 400}})
    replicas.post(**request)
    upstream.reset_scenarios()
    upstream.ledger.clear()
    replicas.post(**request)
    assert "gpt-4o-mini" in wire.models(upstream)


def test_different_options_do_not_share_an_answer(replicas: Replicas, upstream: ThreadedServer) -> None:
    request: dict[str, Any] = {"model": "samples", **CACHED, "messages": [{"role": "user", "content": "Who is asked?"}]}
    replicas.post_and_keep(**request, proposers=["small"])
    upstream.ledger.clear()
    replicas.post(**request, proposers=["medium"])
    assert "gpt-4.1-mini" in wire.models(upstream)


@pytest.fixture(scope="session")
def _nginx(_replicas: Replicas, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if shutil.which("nginx", path=_PATH) is None:
        pytest.skip("needs nginx; Debian has nginx-light")
    directory = tmp_path_factory.mktemp("nginx")
    port = free_port()
    server = (EXAMPLES / "nginx.conf").read_text(encoding="utf-8")
    for name, there in {
        "proxy-1:4000": urlsplit(_replicas.first.url).netloc,
        "proxy-2:4000": urlsplit(_replicas.second.url).netloc,
        "listen 80;": f"listen 127.0.0.1:{port};",
    }.items():
        assert name in server
        server = server.replace(name, there)
    # As the image's own configuration around it, with paths that any user may write.
    paths = "".join(
        f"{kind}_temp_path {directory}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (directory / "nginx.conf").write_text(
        # Root's nginx would serve as a user who may not enter a test's directory.
        f"{'user root; ' if os.geteuid() == 0 else ''}daemon off; pid {directory}/pid; error_log stderr; events {{}}\nhttp {{ access_log off;\n{paths}{server}}}\n",
        encoding="utf-8",
    )
    command = ["nginx", "-p", str(directory), "-c", str(directory / "nginx.conf"), "-e", "stderr"]
    environment = {**os.environ, "PATH": _PATH}
    with (directory / "log").open("wb") as log, subprocess.Popen(command, env=environment, stderr=log) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            wait_until_up(url, process, lambda: (directory / "log").read_text(encoding="utf-8"))
            yield url
        finally:
            process.terminate()


@pytest.fixture
def nginx(_nginx: str, replicas: Replicas) -> str:
    """The address of an nginx with the configuration of the compose file, before both proxies."""
    return _nginx


def _headers() -> dict[str, str]:
    return {"authorization": f"Bearer {CLIENT}"}


def test_behind_nginx_an_agents_steps_deliberate_once(nginx: str, replicas: Replicas, upstream: ThreadedServer) -> None:
    messages: list[dict[str, Any]] = [{"role": "user", "content": "How is the weather in Oslo behind nginx?"}]
    request = {"model": "agent", "messages": messages, "tools": [TOOL]}
    first = httpx.post(f"{nginx}/v1/chat/completions", json=request, headers=_headers(), timeout=30).json()
    message = first["choices"][0]["message"]
    messages += [message, {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "4 degrees"}]
    for _ in range(4):
        again = httpx.post(f"{nginx}/v1/chat/completions", json=request, headers=_headers(), timeout=30).json()
        assert again["choices"][0]["message"]["content"] == "Take a coat."
    assert wire.models(upstream).count("gpt-4o-mini") == 1


def test_behind_nginx_a_stream_arrives_while_it_is_written_and_a_client_that_hangs_up_ends_it(
    nginx: str, upstream: ThreadedServer
) -> None:
    upstream.set_scenario("gpt-4o", {"hang": True})
    request = {"model": "team-moa", "messages": [{"role": "user", "content": "Slowly?"}], "stream": True}
    with httpx.stream("POST", f"{nginx}/v1/chat/completions", json=request, headers=_headers(), timeout=30) as response:
        lines = response.iter_lines()
        # The final model never answers; what has been said until then is here.
        assert any("medium" in line for line in lines)
        upstream.wait_until(lambda ledger: any(record.model == "gpt-4o" for record in ledger.records))
    upstream.wait_until(lambda ledger: ledger.open_requests == 0)
    assert [record.disconnected for record in wire.records(upstream, "gpt-4o")] == [True]


def test_behind_nginx_a_long_conversation_passes(nginx: str, upstream: ThreadedServer) -> None:
    request = {"model": "samples", "messages": [{"role": "user", "content": "long " * 400_000}], "max_tokens": 10}
    response = httpx.post(f"{nginx}/v1/chat/completions", json=request, headers=_headers(), timeout=30)
    # Too long for the models, which is for the proxy to say.
    assert response.status_code == 400, response.text[:300]
    assert "longer than" in response.json()["error"]["message"]
