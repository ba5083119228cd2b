"""A small load generator: ``python -m fake_server.load --seconds 3`` prints requests per second."""

import argparse
import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp

_BODY = b'{"model":"load/model","messages":[{"role":"user","content":"How fast does this server answer?"}]}'
_HEADERS = {"Content-Type": "application/json"}


async def drive(url: str, seconds: float, workers: int) -> tuple[int, float]:
    """Send requests for so many seconds; return how many were answered, and the seconds it took."""
    connector = aiohttp.TCPConnector(limit=workers)
    async with aiohttp.ClientSession(connector=connector) as session:
        start = time.monotonic()
        counts = await asyncio.gather(*(_worker(session, url, start + seconds) for _ in range(workers)))
        return sum(counts), time.monotonic() - start


async def _worker(session: aiohttp.ClientSession, url: str, deadline: float) -> int:
    count = 0
    while time.monotonic() < deadline:
        async with session.post(f"{url}/v1/chat/completions", data=_BODY, headers=_HEADERS) as response:
            await response.read()
            response.raise_for_status()
        count += 1
    return count


@contextmanager
def server_process() -> Iterator[str]:
    """Run a server in a process of its own; give its address."""
    command = [sys.executable, "-m", "fake_server", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process.stdout.readline().strip() if process.stdout else ""
        finally:
            process.terminate()


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; return the exit status."""
    parser = argparse.ArgumentParser(prog="fake_server.load", description="Measure the requests per second.")
    parser.add_argument("--seconds", type=float, default=3.0, help="how long to measure (%(default)s)")
    parser.add_argument("--workers", type=int, default=32, help="requests open at a time (%(default)s)")
    options = parser.parse_args(arguments)
    with server_process() as url:
        requests, seconds = asyncio.run(drive(url, options.seconds, options.workers))
    print(f"{requests} requests in {seconds:.2f} s: {requests / seconds:.0f} requests/s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
