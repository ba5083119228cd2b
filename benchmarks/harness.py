"""What every benchmark needs: the fake server in a process of its own, a request count that must fit, a table.

A benchmark is a module with an async `measure(upstream) -> list[Row]`, run by `main`:

    if __name__ == "__main__":
        main("name", measure)
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import urllib.request
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

KEY = "not-needed"


@dataclass(frozen=True)
class Row:
    """One figure.

    Attributes:
        what: What was measured.
        value: In `unit`.
        unit: `ms`, `ratio`, …
        reach: The figure to stay under, or to come to; None where there is none.
        more_is_better: Whether `reach` is to be come to.
    """

    what: str
    value: float
    unit: str
    reach: float | None = None
    more_is_better: bool = False

    @property
    def verdict(self) -> str:
        """Whether it is within reach."""
        if self.reach is None:
            return ""
        reached = self.value >= self.reach if self.more_is_better else self.value < self.reach
        return "yes" if reached else "**no**"


class Upstream:
    """The fake server, in a process of its own so that its CPU is not counted."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.claimed = 0

    @property
    def options(self) -> dict[str, Any]:
        """What leads a call there."""
        return {"api_base": f"{self.url}/v1", "api_key": KEY}

    def play(self, model: str, scenario: Mapping[str, Any]) -> None:
        """Set the scenario of a model."""
        self._send("PUT", f"/scenarios/{model}", scenario)

    def claim(self, requests: int) -> None:
        """Say how many requests a measurement must have made."""
        self.claimed += requests

    def served(self) -> int:
        """How many requests arrived."""
        count: int = self._send("GET", "/stats")["requests"]
        return count

    def open_requests(self) -> int:
        """How many requests are being answered now."""
        count: int = self._send("GET", "/stats")["open_requests"]
        return count

    def _send(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method)
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response)


@contextlib.contextmanager
def upstream() -> Iterator[Upstream]:
    """Start the fake server, and stop it."""
    process = subprocess.Popen([sys.executable, "-m", "fake_server", "--port", "0"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield Upstream(process.stdout.readline().split()[-1])
    finally:
        process.terminate()
        process.wait(timeout=10)


def conditions() -> dict[str, Any]:
    """The machine, the versions and the day."""
    versions = {name: importlib.metadata.version(name) for name in ("litellm", "openai", "aiohttp", "pydantic")}
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}",
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 1),
        **versions,
    }


def markdown(rows: list[Row]) -> str:
    """The rows as a table."""
    lines = ["| what | measured | reach | reached |", "|---|---|---|---|"]
    for row in rows:
        sign = "≥" if row.more_is_better else "<"
        reach = "" if row.reach is None else f"{sign} {row.reach:g} {row.unit}"
        lines.append(f"| {row.what} | {row.value:.3f} {row.unit} | {reach} | {row.verdict} |")
    return "\n".join(lines)


def main(name: str, measure: Callable[[Upstream], Awaitable[list[Row]]]) -> None:
    """Measure, print the table, write it as JSON; fails when the requests were not those that the runs claim."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}")
    parser.add_argument("--json", type=Path, default=Path("build/benchmarks") / f"{name}.json", help="%(default)s")
    path: Path = parser.parse_args().json
    import composite_llm

    composite_llm.register()
    gc.collect()
    gc.freeze()
    with upstream() as server:
        rows = asyncio.run(_measured(measure, server))
        served = server.served()
    circumstances = conditions()
    print(", ".join(f"{key} {value}" for key, value in circumstances.items()), end="\n\n")
    print(markdown(rows))
    print(f"\nRequests: {served} served, {server.claimed} claimed.")
    path.parent.mkdir(parents=True, exist_ok=True)
    figures = [{"what": row.what, "value": row.value, "unit": row.unit, "reach": row.reach} for row in rows]
    report = {"conditions": circumstances, "figures": figures, "requests": served, "claimed": server.claimed}
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    if served != server.claimed:
        sys.exit("the requests are not those that the runs claim")


async def _measured(measure: Callable[[Upstream], Awaitable[list[Row]]], server: Upstream) -> list[Row]:
    return await measure(server)
