"""`composite traces show`: one run, its calls and what went wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from composite_llm.cli.output import Json, print_json, print_table
from composite_llm.cli.store_file import StoreOption, store_failures, store_of
from composite_llm.cli.terminal_text import harmless
from composite_llm.cli.traces.list import cost_of, status_of
from composite_llm.model.review_labels import readable
from composite_llm.model.summary import analysis_text, money

if TYPE_CHECKING:
    from composite_llm.model.trace import Trace
    from composite_llm.observe.records import CallRecord, RunRecord

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The run's id, or its beginning.")]


def show(run_id: IdArgument, store: StoreOption = None, as_json: Json = False) -> None:
    """Show one run: its calls, what they cost, and what went wrong."""
    with store_failures():
        traces = store_of(store)
        run = traces.run(run_id)
        calls, trace = traces.calls(run.id), traces.trace(run.id)
    if as_json:
        print_json({"run": run, "calls": calls})
        return
    for name, value in _heads(run, trace):
        print(f"{name:<10} {harmless(value)}")
    print()
    print_table(
        ("STAGE", "NAME", "MODEL", "STATUS", "ATTEMPTS", "TOKENS", "COST", "AT", "TIME"),
        [_cells(call) for call in calls],
        right=("ATTEMPTS", "TOKENS", "COST", "AT", "TIME"),
    )
    for line in _remarks(calls, trace):
        print(harmless(line))
    if trace.analysis is not None and (compared := analysis_text(trace.analysis)):
        print(harmless(compared))
    _print_answers(calls)


def _heads(run: RunRecord, trace: Trace) -> Iterator[tuple[str, str]]:
    yield "run", run.id
    yield "model", run.model
    yield "status", status_of(run)
    yield "began", f"{run.started_at:%Y-%m-%d %H:%M:%S} UTC"
    yield "took", f"{run.duration_s:.1f} s"
    yield "tokens", f"{run.usage.prompt_tokens} in, {run.usage.completion_tokens} out"
    yield "cost", cost_of(run)
    for name in ("user", "workflow", "step", "task_type", "session", "project", "key"):
        if value := getattr(run, name):
            yield name, value
    if run.tags:
        yield "tags", ", ".join(run.tags)
    if run.question:
        yield "question", " ".join(run.question.split())
    if trace.ranking is not None:
        yield "ranking", " > ".join(trace.ranking.order)
    if run.error:
        yield "error", run.error


def _cells(call: CallRecord) -> tuple[str, ...]:
    return (
        harmless(call.stage),
        harmless(call.name),
        harmless(call.model),
        call.status,
        str(len(call.attempts)),
        str(call.usage.total_tokens),
        "no price" if call.cost_usd is None else money(call.cost_usd),
        f"{call.start_s:.1f} s",
        f"{call.duration_s:.1f} s",
    )


def _remarks(calls: list[CallRecord], trace: Trace) -> Iterator[str]:
    for reason in trace.degraded:
        yield f"degraded: {reason}"
    for call in calls:
        if call.error:
            yield f"{call.stage} {call.name}: {call.error}"
        for attempt in call.attempts:
            if attempt.provider_message:
                yield f"{call.stage} {call.name}: the provider said: {attempt.provider_message}"
    for tool in trace.tool_calls:
        yield f"tool {tool.name}, round {tool.round}: {tool.error or 'ok'}"


def _print_answers(calls: list[CallRecord]) -> None:
    """What was kept of the answers; by default nothing."""
    for call in calls:
        if text := readable(call):
            print(f"\n--- {harmless(call.stage)}, {harmless(call.name)} ---\n{harmless(text)}")
