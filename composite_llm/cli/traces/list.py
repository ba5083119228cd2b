"""`composite traces list`: past runs and those under way."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from composite_llm.cli.moment import SinceOption, moment_of, since
from composite_llm.cli.output import Json, print_json, print_table
from composite_llm.cli.store_file import StoreOption, store_failures, store_of
from composite_llm.cli.terminal_text import harmless
from composite_llm.model.model_strings import COMPOSITE_PREFIX
from composite_llm.model.summary import money

if TYPE_CHECKING:
    from composite_llm.observe.records import RunRecord

SHOWN_CHARACTERS = 8
"""Of an id: enough to tell runs apart, and `traces show` takes it."""


class Status(StrEnum):
    """How a run ended, or that it has not."""

    running = "running"
    ok = "ok"
    failed = "failed"
    cancelled = "cancelled"
    lost = "lost"


def list_runs(
    since_text: Annotated[str | None, SinceOption] = None,
    until: Annotated[
        str | None, typer.Option(metavar="WHEN", help="Only what began before then; written as for --since.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Only runs of this composite, or that asked this model.")] = None,
    profile: Annotated[str | None, typer.Option(help="Only runs of this profile.")] = None,
    status: Annotated[Status | None, typer.Option(help="Only runs that are so.")] = None,
    user: Annotated[str | None, typer.Option(help="Only runs of this user.")] = None,
    session: Annotated[str | None, typer.Option(help="Only runs of this session.")] = None,
    project: Annotated[str | None, typer.Option(help="Only runs of this project.")] = None,
    workflow: Annotated[str | None, typer.Option(help="Only runs of this workflow.")] = None,
    tag: Annotated[str | None, typer.Option(help="Only runs with this tag.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many at most.")] = 20,
    offset: Annotated[int, typer.Option(min=0, help="How many to leave out first.")] = 0,
    store: StoreOption = None,
    as_json: Json = False,
) -> None:
    """List runs, the newest first."""
    now = datetime.now(UTC)
    with store_failures():
        runs = store_of(store).runs(
            since=since(since_text),
            until=None if until is None else moment_of("--until", until, now),
            model=model,
            profile=profile,
            status=None if status is None else status.value,
            user=user,
            session=session,
            project=project,
            workflow=workflow,
            tag=tag,
            limit=limit,
            offset=offset,
        )
    if as_json:
        print_json(runs)
        return
    print_table(
        ("ID", "BEGAN (UTC)", "STATUS", "MODEL", "CALLS", "TOKENS", "COST", "TIME"),
        [_cells(run) for run in runs],
        right=("CALLS", "TOKENS", "COST", "TIME"),
    )


def _cells(run: RunRecord) -> tuple[str, ...]:
    return (
        run.id[:SHOWN_CHARACTERS],
        f"{run.started_at:%Y-%m-%d %H:%M:%S}",
        status_of(run),
        harmless(run.model.removeprefix(COMPOSITE_PREFIX)),
        f"{run.calls}" + (f" ({run.failed_calls} failed)" if run.failed_calls else ""),
        str(run.usage.total_tokens),
        cost_of(run),
        f"{run.duration_s:.1f} s",
    )


def status_of(run: RunRecord) -> str:
    """Its status, and whether it went otherwise than configured."""
    return f"{run.status}, degraded" if run.status == "ok" and run.degraded else run.status


def cost_of(run: RunRecord) -> str:
    """Its cost; where a price is unknown, the part that is known."""
    return money(run.cost_usd) if run.cost_usd is not None else f"{money(run.known_cost_usd)} + ?"
