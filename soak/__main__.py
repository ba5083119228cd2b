"""`python -m soak --runs 5000 --at-once 200`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys

# LiteLLM reads it when it is imported; without it the import fetches a price list.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")


def main(arguments: list[str] | None = None) -> int:
    """Let the storm blow and say what is left; the exit status is 1 if something is wrong."""
    parser = argparse.ArgumentParser(prog="soak", description="Many runs at once while attempts fail at random.")
    parser.add_argument("--runs", type=int, default=5000, help="how many runs (%(default)s)")
    parser.add_argument("--at-once", type=int, default=200, help="how many of them at a time (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="decides which attempts fail (%(default)s)")
    parser.add_argument("--rate", type=float, default=0.2, help="share of attempts that fail (%(default)s)")
    parser.add_argument("--limit", type=float, default=3600.0, help="seconds until it is given up (%(default)s)")
    chosen = parser.parse_args(arguments)

    from fake_server.load import server_process
    from soak.asking import Storm
    from soak.storm import blow

    # LiteLLM tells every failed call, and we tell of every Self-MoA; here both are the point.
    for name in ("LiteLLM", "composite_llm"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with server_process() as url:
        storm = Storm(url, chosen.runs, chosen.at_once, chosen.seed, chosen.rate)
        report = asyncio.run(blow(storm, chosen.limit, _tell))
    sys.stdout.write(report.text + "\n")
    return 1 if report.problems else 0


def _tell(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
