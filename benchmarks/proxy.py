"""A composite through LiteLLM's proxy, and the same calls made through it by hand: `python -m benchmarks.proxy`.

The proxy is one process with `examples/proxy/config.yaml`, the models answer at once. By hand a client asks `small` and
`medium` at the same time, then `large` with their answers: three requests to the proxy. The composite `team-moa` is one
request, and makes the same three calls inside. Both are asked in turns, and what counts is the median of the turns.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.harness import Row, Upstream, main

_CONFIG = Path(__file__).parents[1] / "examples" / "proxy" / "config.yaml"
_START_S = 120.0
_QUESTION = [{"role": "user", "content": "Which bridge is the oldest?"}]
_CALLS = 3
_WARM_UP = 20
_TURNS = 7
_TASKS = {1: 20, 20: 100}
"""How many questions a turn has, by how many are asked at once."""
REACH = 2.5


@dataclass
class Proxy:
    """A running proxy and a client of it."""

    url: str
    pid: int
    client: aiohttp.ClientSession

    async def ask(self, model: str, messages: list[dict[str, Any]]) -> str:
        """The answer."""
        body = {"model": model, "messages": messages}
        async with self.client.post(f"{self.url}/v1/chat/completions", json=body) as response:
            response.raise_for_status()
            answer = await response.json()
        text: str = answer["choices"][0]["message"]["content"]
        return text

    async def composite(self) -> None:
        """One question to the composite."""
        await self.ask("team-moa", _QUESTION)

    async def by_hand(self) -> None:
        """One question by three requests."""
        answers = await asyncio.gather(self.ask("small", _QUESTION), self.ask("medium", _QUESTION))
        await self.ask("large", [*_QUESTION, {"role": "user", "content": "\n\n".join(answers)}])

    def cpu_s(self) -> float:
        """What the process has used until now; Linux only."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass
class Turns:
    """What the turns of one way have given."""

    per_second: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)


@contextlib.contextmanager
def _started(upstream: Upstream, key: str) -> Iterator[tuple[str, int]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "UPSTREAM_BASE": f"{upstream.url}/v1",
        "UPSTREAM_KEY": "sk-any",
        "PROXY_MASTER_KEY": key,
        "LITELLM_LOG": "ERROR",
    }
    litellm = str(Path(sys.executable).parent / "litellm")
    command = [litellm, "--config", str(_CONFIG), "--host", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield f"http://127.0.0.1:{port}", process.pid
        finally:
            process.terminate()


async def _until_up(proxy: Proxy) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        with contextlib.suppress(aiohttp.ClientError):
            async with proxy.client.get(f"{proxy.url}/health/liveliness") as response:
                if response.status == 200:
                    return
        if time.monotonic() > deadline:
            sys.exit("the proxy did not start")
        await asyncio.sleep(0.2)


async def _many(ask: Callable[[], Awaitable[None]], count: int, at_once: int) -> None:
    left = iter(range(count))

    async def ask_in_turn() -> None:
        for _ in left:
            await ask()

    await asyncio.gather(*(ask_in_turn() for _ in range(at_once)))


async def _turn(proxy: Proxy, ask: Callable[[], Awaitable[None]], at_once: int, turns: Turns) -> None:
    count = _TASKS[at_once]
    cpu_s, began = proxy.cpu_s(), time.perf_counter()
    await _many(ask, count, at_once)
    turns.per_second.append(count / (time.perf_counter() - began))
    turns.cpu_ms.append((proxy.cpu_s() - cpu_s) * 1000 / count)


async def measure(upstream: Upstream) -> list[Row]:
    """Questions in a second and CPU of the proxy for each, both ways."""
    key = f"sk-{secrets.token_hex(8)}"
    headers = {"authorization": f"Bearer {key}"}
    rows: list[Row] = []
    connector = aiohttp.TCPConnector(limit=0)
    with _started(upstream, key) as (url, pid):
        async with aiohttp.ClientSession(headers=headers, connector=connector) as client:
            proxy = Proxy(url, pid, client)
            await _until_up(proxy)
            for ask in (proxy.composite, proxy.by_hand):
                await _many(ask, _WARM_UP, 4)
            # LiteLLM asks each endpoint for its models when it starts.
            upstream.claim(upstream.served())
            for at_once, count in _TASKS.items():
                hand, composite = Turns(), Turns()
                for _ in range(_TURNS):
                    await _turn(proxy, proxy.by_hand, at_once, hand)
                    await _turn(proxy, proxy.composite, at_once, composite)
                rows += _rows(at_once, hand, composite)
                upstream.claim(2 * _TURNS * count * _CALLS)
    return rows


def _rows(at_once: int, hand: Turns, composite: Turns) -> list[Row]:
    label = f"{at_once} at once"
    by_hand, as_one = statistics.median(hand.per_second), statistics.median(composite.per_second)
    cpu_by_hand, cpu_as_one = statistics.median(hand.cpu_ms), statistics.median(composite.cpu_ms)
    return [
        Row(f"questions by hand, {label}", by_hand, "/s"),
        Row(f"questions to the composite, {label}", as_one, "/s"),
        Row(f"throughput of the composite / by hand, {label}", as_one / by_hand, "", REACH, more_is_better=True),
        Row(f"CPU of the proxy for a question by hand, {label}", cpu_by_hand, "ms"),
        Row(f"CPU of the proxy for a question to the composite, {label}", cpu_as_one, "ms"),
    ]


if __name__ == "__main__":
    main("proxy", measure)
