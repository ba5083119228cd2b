"""`composite batch`: the requests of a file."""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from composite_llm.cli.exits import FAILED, INTERRUPTED
from composite_llm.cli.output import Json, drawing, print_json
from composite_llm.cli.target import (
    ConfigOption,
    ModelOption,
    OfflineOption,
    OptionsOption,
    ProfileOption,
    ProposersOption,
    StrategyOption,
    parsed_options,
)

if TYPE_CHECKING:
    from composite_llm.evaluate import Batch


def batch(
    source: Annotated[Path, typer.Argument(metavar="IN.jsonl", help="The requests: OpenAI's batch file, or bodies.")],
    output: Annotated[
        Path, typer.Argument(metavar="OUT.jsonl", help="Gets a line for each; what has one is not asked again.")
    ],
    strategy: StrategyOption = None,
    model: ModelOption = None,
    proposers: ProposersOption = None,
    profile: ProfileOption = None,
    max_parallel: Annotated[int, typer.Option("--max-parallel", min=1, help="Requests at once.")] = 8,
    max_cost_usd: Annotated[
        float | None, typer.Option("--max-cost-usd", help="US dollars at most, of all of the file.")
    ] = None,
    rpm: Annotated[float | None, typer.Option("--rpm", help="Model calls that may begin in a minute.")] = None,
    tpm: Annotated[float | None, typer.Option("--tpm", help="Tokens of a minute.")] = None,
    options: OptionsOption = None,
    config: ConfigOption = None,
    offline: OfflineOption = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Begin without a question about the price.")] = False,
    as_json: Json = False,
) -> None:
    """Answer the requests of a file, and go on where an earlier try was broken off."""
    from composite_llm.cli.loading import load
    from composite_llm.cli.offline import models

    with models(offline=offline) as at:
        named = offline or any((strategy, model, proposers, profile))
        target = at.target(strategy, model, proposers, profile, options) if named else None
        given = dict(target.options) if target is not None else parsed_options(options or ())
        allow_unpriced = bool(given.get("allow_unpriced"))
        load(at.config(config))
        from composite_llm.evaluate import Batch, BatchSettings

        settings = BatchSettings(max_parallel, max_cost_usd, rpm, tpm, allow_unpriced)
        work = Batch(source, output, target.model if target is not None else None, given, settings)
        _agree(work, free=offline, yes=yes)
        began = time.monotonic()
        interrupted = asyncio.run(_running(work))
    _print(work, time.monotonic() - began, as_json)
    if interrupted:
        raise typer.Exit(INTERRUPTED)
    if work.bill.failed or work.bill.open:
        raise typer.Exit(FAILED)


def _agree(work: Batch, *, free: bool, yes: bool) -> None:
    """The price comes first; a person at a terminal is asked.

    Raises:
        Abort: The person does not want to.
    """
    from composite_llm.evaluate.markdown import usd

    bill = work.bill
    done = f" ({bill.requests - bill.open} are there already)" if bill.open < bill.requests else ""
    worst = work.worst_usd()
    price = "the price is unknown" if worst is None else f"{usd(worst)} at worst"
    print(f"{bill.open} requests are open{done}: {price}.", file=sys.stderr)
    if bill.open and not free and not yes and sys.stdin.isatty() and sys.stderr.isatty():
        typer.confirm("Go on?", default=True, abort=True, err=True)


async def _running(work: Batch) -> bool:
    """Whether it was interrupted."""
    from composite_llm.cli.draining import stopped_by_interrupt

    progress = _Progress(work, drawn=drawing() and sys.stderr.isatty())
    with stopped_by_interrupt() as stop:
        try:
            await work.run(progress.changed, stop=stop)
        except asyncio.CancelledError:
            return True
        finally:
            progress.end()
        return stop.is_set()


class _Progress:
    """One line that is drawn over on a terminal; in a pipe a line for each tenth."""

    def __init__(self, work: Batch, *, drawn: bool) -> None:
        self._work = work
        self._drawn = drawn
        self._wanted = max(1, work.bill.open)

    def changed(self) -> None:
        done = self._wanted - self._work.bill.open
        if self._drawn:
            print(f"\r\x1b[K{self._line()}", end="", file=sys.stderr, flush=True)
        elif 10 * done // self._wanted != 10 * (done - 1) // self._wanted:
            print(self._line(), file=sys.stderr, flush=True)

    def _line(self) -> str:
        from composite_llm.evaluate.markdown import usd

        bill = self._work.bill
        failed = f", {bill.failed} failed" if bill.failed else ""
        return f"{bill.requests - bill.open} of {bill.requests} requests{failed}, {usd(bill.cost_usd)}"

    def end(self) -> None:
        if self._drawn:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _print(work: Batch, seconds: float, as_json: bool) -> None:
    from composite_llm.evaluate.markdown import usd

    bill = work.bill
    if as_json:
        print_json({**asdict(bill), "open": bill.open, "seconds": round(seconds, 3)})
        return
    unknown = f" + {bill.unpriced} without a price" if bill.unpriced else ""
    print(
        f"{bill.answered} answered · {bill.failed} failed · {bill.open} open · {bill.calls} calls · "
        f"{bill.prompt_tokens} + {bill.completion_tokens} tokens · {usd(bill.cost_usd)}{unknown} · {seconds:.1f} s"
    )
    if bill.open:
        print("composite: not everything was asked; the same command goes on from here", file=sys.stderr)
