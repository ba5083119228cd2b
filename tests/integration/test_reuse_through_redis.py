"""Kept deliberations in LiteLLM's own Redis cache: several proxies share them, and nobody trusts what is in it.

Skipped only where no `redis-server` is installed (Debian and Ubuntu: `apt-get install redis-server`).
"""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from fake_server import ThreadedServer
from tests.support import wire
from tests.support.asking import FIRST, KEY, MOA, SECOND
from tests.support.interpreter import run_program

REDIS = shutil.which("redis-server")
pytestmark = pytest.mark.skipif(REDIS is None, reason="no redis-server here; on Debian: apt-get install redis-server")

CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
STEP = [
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": "x"},
]


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
    server: ThreadedServer,
    port: int,
    *,
    behind: list[Any] = STEP,
    questions: int = 1,
    keys: Sequence[str] = ("one",),
    before: str = "",
) -> list[str]:
    """Requests in a process of its own, as one of several proxies: whether each used a kept deliberation."""
    call = {
        "model": MOA,
        "proposers": [FIRST, SECOND],
        "tools": [{"type": "function", "function": {"name": "look"}}],
        "api_base": server.base_url,
        "api_key": KEY,
    }
    conversations = [[{"role": "user", "content": f"Find number {n}."}, *behind] for n in range(questions)]
    done = run_program(
        f"""
        import asyncio
        import composite_llm, litellm, redis
        composite_llm.register()
        kept = redis.Redis(port={port})
        found = sorted(kept.keys("*composite_llm:turn:*"))
        assert all(0 < kept.ttl(key) <= 3600 for key in found)
        {before or "pass"}
        litellm.cache = litellm.Cache(type="redis", host="127.0.0.1", port="{port}", supported_call_types=[])

        async def main():
            for key in {list(keys)!r}:
                for messages in {conversations!r}:
                    caller = {{"user_api_key_hash": key}}
                    answer = await litellm.acompletion(messages=messages, metadata=caller, **{call!r})
                    print(composite_llm.get_trace(answer).reused)

        asyncio.run(main())
        """
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_a_tool_step_at_one_proxy_uses_the_deliberation_of_another_and_no_other_callers(
    server: ThreadedServer, redis_port: int
) -> None:
    assert proxy(server, redis_port, behind=[]) == ["False"]
    first = wire.record(server, "gpt-4o").body["messages"]
    assert len(server.ledger.records) == 3
    assert proxy(server, redis_port, keys=["one", "another"]) == ["True", "False"]
    assert len(server.ledger.records) == 3 + 1 + 3
    assert wire.records(server, "gpt-4o")[1].body["messages"][: len(first)] == first


DAMAGES = [
    'kept.set(found[0], b"\\xff\\xfe")',
    'kept.set(found[1], "{")',
    'kept.set(found[2], "5")',
    'kept.set(found[3], "{}")',
    "kept.set(found[4], kept.get(found[4])[:-20])",
    'kept.delete(found[5]); kept.lpush(found[5], "x")',
    "kept.delete(found[6])",
]


def test_a_damaged_entry_is_a_miss(server: ThreadedServer, redis_port: int) -> None:
    count = len(DAMAGES)
    assert proxy(server, redis_port, behind=[], questions=count) == ["False"] * count
    assert proxy(server, redis_port, questions=count, before="; ".join(DAMAGES)) == ["False"] * count
    assert len(wire.records(server, "gpt-4o-mini")) == 2 * count


def test_a_final_models_reasoning_is_found_at_another_proxy(server: ThreadedServer, redis_port: int) -> None:
    call = {"id": "c1", "name": "look", "arguments": {}}
    says = [{"reasoning": "Look first.", "tool_calls": [call]}, {"text": "Found."}]
    server.set_scenario("gpt-4o", {"says": says, "rules": ["deepseek_reasoning"]})
    proxy(server, redis_port, behind=[])
    assert proxy(server, redis_port) == ["True"]
    messages = wire.records(server, "gpt-4o")[-1].body["messages"]
    assert [m["reasoning_content"] for m in messages if m.get("tool_calls")] == ["Look first."]


def test_a_redis_that_is_down_ends_no_run(server: ThreadedServer, redis_port: int) -> None:
    assert proxy(server, redis_port, before="kept.shutdown(nosave=True)") == ["False"]
    assert wire.models(server)[-1] == "gpt-4o"
