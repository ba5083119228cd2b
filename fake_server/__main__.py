"""The command ``python -m fake_server``."""

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from fake_server.running import Scenarios, running
from fake_server.scenario import ScenarioError
from fake_server.scenario_file import read_scenario_file


def main(arguments: list[str] | None = None) -> int:
    """Run the server until a signal ends it; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        scenarios = read_scenario_file(options.scenarios) if options.scenarios else None
        asyncio.run(_serve(scenarios, options.api_key, options.host, options.port))
    except (ScenarioError, OSError, OverflowError) as error:
        print(f"fake_server: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fake_server", description="A deterministic OpenAI-compatible server.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 takes a free one (%(default)s)")
    parser.add_argument("--scenarios", type=Path, help="YAML or JSON file: model name or pattern -> scenario")
    parser.add_argument("--api-key", help="bearer key that /v1 requires")
    return parser


async def _serve(scenarios: Scenarios | None, api_key: str | None, host: str, port: int) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with running(scenarios=scenarios, api_key=api_key, host=host, port=port) as server:
        print(server.url, flush=True)
        await stopped.wait()


if __name__ == "__main__":
    sys.exit(main())
