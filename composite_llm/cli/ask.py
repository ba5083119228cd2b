"""`composite ask`: one question."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from composite_llm.cli.exits import fail
from composite_llm.cli.output import Json, drawing, print_json
from composite_llm.cli.target import (
    ConfigOption,
    ModelOption,
    OfflineOption,
    OptionsOption,
    ProfileOption,
    ProposersOption,
    StrategyOption,
    Target,
)

if TYPE_CHECKING:
    from composite_llm.cli.asking import Answered
    from composite_llm.cli.progress import Progress
    from composite_llm.cli.views import View


class Reasoning(StrEnum):
    """How much of the deliberation is shown."""

    summary = "summary"
    full = "full"
    off = "off"


def ask(
    question: Annotated[str | None, typer.Argument(help="The question; without it, standard input is.")] = None,
    strategy: StrategyOption = None,
    model: ModelOption = None,
    proposers: ProposersOption = None,
    profile: ProfileOption = None,
    files: Annotated[
        list[Path] | None,
        typer.Option("--file", "-f", help="A text, picture or PDF to ask about; once for each."),
    ] = None,
    system: Annotated[str | None, typer.Option("--system", help="A system prompt.")] = None,
    max_cost_usd: Annotated[float | None, typer.Option("--max-cost-usd", help="US dollars at most.")] = None,
    timeout: Annotated[float | None, typer.Option("--timeout", help="Seconds for the whole run.")] = None,
    reasoning: Annotated[
        Reasoning,
        typer.Option("--reasoning", help="What is shown of the members: a line each, also their texts, or nothing."),
    ] = Reasoning.summary,
    options: OptionsOption = None,
    config: ConfigOption = None,
    offline: OfflineOption = False,
    trace: Annotated[Path | None, typer.Option("--trace", help="A file for the run's trace, as JSON.")] = None,
    as_json: Json = False,
) -> None:
    """Ask one question, and see who answers what."""
    from composite_llm.cli.question import messages_of

    messages = messages_of(question, system, files or ())
    set_apart = {"max_cost_usd": max_cost_usd, "timeout": timeout, "reasoning": reasoning.value}
    from composite_llm.cli.offline import models

    with models(offline=offline) as at:
        target = at.target(strategy, model, proposers, profile, options).with_options(set_apart)
        _run(target, messages, at.config(config), trace, reasoning, as_json)


def _run(
    target: Target,
    messages: Sequence[dict[str, Any]],
    config: Any,
    trace_file: Path | None,
    reasoning: Reasoning,
    as_json: bool,
) -> None:
    from composite_llm.cli.asking import answered, expect
    from composite_llm.cli.loading import load
    from composite_llm.cli.progress import Progress

    progress = Progress()
    load(config, [progress])
    expect(progress, target)
    if target.picked and reasoning is not Reasoning.off:
        print(f"Asking {target.model}, whose key is set; --model names another.", file=sys.stderr)
    view = _view(progress, reasoning, as_json)
    try:
        answer = asyncio.run(answered(target, messages, view))
    finally:
        if trace_file is not None and progress.trace is not None:
            _write(trace_file, progress)
    if as_json:
        print_json(_document(answer, progress, target))


def _view(progress: Progress, reasoning: Reasoning, as_json: bool) -> View:
    from composite_llm.cli.views import LiveView, PlainView, SilentView

    full = reasoning is Reasoning.full
    if as_json:
        return SilentView()
    if drawing():
        return LiveView(progress, full=full)
    return PlainView(progress, full=full, quiet=reasoning is Reasoning.off)


def _document(answer: Answered, progress: Progress, target: Target) -> dict[str, Any]:
    trace = progress.trace
    assert trace is not None
    document = {
        "content": answer.text,
        "model": trace.model,
        "finish_reason": answer.finish_reason,
        "usage": trace.usage,
        "cost_usd": trace.cost_usd,
        "degraded": trace.degraded,
        "trace_id": trace.id,
        "duration_s": trace.duration_s,
    }
    return document | ({"reasoning_content": answer.reasoning} if answer.reasoning else {})


def _write(path: Path, progress: Progress) -> None:
    assert progress.trace is not None
    try:
        path.write_text(progress.trace.model_dump_json(indent=2), encoding="utf-8")
    except OSError as error:
        fail(f"--trace {path}: {error.strerror or 'cannot be written'}")
