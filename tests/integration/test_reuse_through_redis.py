"""Kept deliberations in LiteLLM's own Redis cache: several proxies share them, and nobody trusts what is in it.

Skipped only where no `redis-server` is installed (Debian and Ubuntu: `apt-get install redis-server`).
"""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fake_server import ThreadedServer
from tests.support import wire
from tests.support.asking import FIRST, KEY, MOA, SECOND
from tests.support.interpreter import run_program

REDIS = shutil.which("redis-server")
pytestmark = pytest.mark.skipif(REDIS is None, reason="no redis-server here; on Debian: apt-get install redis-server")

USER = {"role": "user", "content": "Find it."}
CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
STEP = [{"role": "assistant", "content": None, "tool_calls": [CALL]}, {"role": "tool", "tool_call_id": "c1", "content": "x"}]


@pytest.fixture
def redis_port(tmp_path: Path) -> Iterator[int]:
    """A Redis of the test's own, on the loopback."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    assert REDIS is not None
    command = [REDIS, "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert any("eady to accept connections" in line for line in process.stdout)
        try:
            yield port
        finally:
            process.terminate()
            process.stdout.read()


def proxy(
    server: ThreadedServer, port: int, *, behind: list[Any] = STEP, key: str = "one", before: str = "", **options: Any
) -> list[str]:
    """One request in a process of its own, as one of several proxies; whether it used a kept deliberation."""
    call = {
        "model": MOA,
        "messages": [USER, *behind],
        "proposers": [FIRST, SECOND],
        "tools": [{"type": "function", "function": {"name": "look"}}],
        "api_base": server.base_url,
        "api_key": KEY,
        "metadata": {"user_api_key_hash": key},
        **options,
    }
    done = run_program(
        f"""
        import asyncio
        import composite_llm, litellm, redis
        composite_llm.register()
        kept = redis.Redis(port={port})
        {before or "pass"}
        litellm.cache = litellm.Cache(type="redis", host="127.0.0.1", port="{port}", supported_call_types=[])
        answer = asyncio.run(litellm.acompletion(**{call!r}))
        print(composite_llm.get_trace(answer).reused)
        for key in kept.keys("*composite_llm:turn:*"):
            print(0 < kept.ttl(key) <= 3600)
        """
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_a_tool_step_at_one_proxy_uses_the_deliberation_of_another(server: ThreadedServer, redis_port: int) -> None:
    assert proxy(server, redis_port, behind=[]) == ["False", "True"]
    first = wire.record(server, "gpt-4o").body["messages"]
    assert len(server.ledger.records) == 3
    assert proxy(server, redis_port) == ["True", "True"]
    assert len(server.ledger.records) == 4
    assert wire.records(server, "gpt-4o")[1].body["messages"][: len(first)] == first


def test_another_callers_deliberation_is_not_used(server: ThreadedServer, redis_port: int) -> None:
    proxy(server, redis_port, behind=[])
    assert proxy(server, redis_port, key="another") == ["False", "True", "True"]
    assert len(wire.records(server, "gpt-4o-mini")) == 2


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param('kept.set(key, b"\\xff\\xfe")', id="no text"),
        pytest.param('kept.set(key, "{")', id="no JSON"),
        pytest.param('kept.set(key, "5")', id="a number"),
        pytest.param('kept.set(key, "{}")', id="an object of another version"),
        pytest.param("kept.set(key, kept.get(key)[:-20])", id="cut off"),
        pytest.param('kept.delete(key) and kept.lpush(key, "x")', id="another type"),
        pytest.param("kept.flushall()", id="gone"),
    ],
)
def test_a_damaged_entry_is_a_miss(damage: str, server: ThreadedServer, redis_port: int) -> None:
    proxy(server, redis_port, behind=[])
    answer = proxy(server, redis_port, before=f'for key in kept.keys("*composite_llm:turn:*"): {damage}')
    assert answer[0] == "False"
    assert len(wire.records(server, "gpt-4o-mini")) == 2


def test_a_redis_that_is_down_ends_no_run(server: ThreadedServer, redis_port: int) -> None:
    answer = proxy(server, redis_port, before="kept.shutdown(nosave=True); kept.keys = lambda pattern: []")
    assert answer == ["False"]
