"""Two proxies that share nothing but Redis, with LiteLLM's cache on."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import redis

from fake_server import ThreadedServer
from tests.support import wire
from tests.support.proxies import Proxy, deployment, eventually, example_config, free_port, started, with_tests_operator

pytestmark = [
    pytest.mark.skipif(shutil.which("redis-server") is None, reason="needs redis-server; Debian has a package"),
    pytest.mark.xdist_group("replicas"),
]
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
        config["litellm_settings"] |= {
            "cache": True,
            "cache_params": {"type": "redis", "host": "127.0.0.1", "port": port},
        }
        first, second = (
            stack.enter_context(started(config, tmp_path_factory.mktemp(name), _upstream))
            for name in ("first", "second")
        )
        with redis.Redis(port=port) as shared:
            yield Replicas(first, second, shared)


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
    replicas.post(model="samples", messages=[{"role": "user", "content": "Are samples samples?"}])
    assert wire.models(upstream) == ["gpt-4o"] * 4


def test_a_repeated_request_is_a_hit_on_either_proxy_and_costs_nothing(
    replicas: Replicas, upstream: ThreadedServer
) -> None:
    request = {"model": "team-moa", "messages": [{"role": "user", "content": "What is asked twice?"}]}
    first = replicas.post_and_keep(**request)
    upstream.ledger.clear()
    second = replicas.post(**request)
    assert upstream.ledger.records == []
    assert second["choices"][0]["message"]["content"] == first["choices"][0]["message"]["content"]


def test_different_options_do_not_share_an_answer(replicas: Replicas, upstream: ThreadedServer) -> None:
    request: dict[str, Any] = {"model": "samples", "messages": [{"role": "user", "content": "Who is asked?"}]}
    replicas.post_and_keep(**request, proposers=["small"])
    upstream.ledger.clear()
    replicas.post(**request, proposers=["medium"])
    assert "gpt-4.1-mini" in wire.models(upstream)
