"""`composite ask`: one question."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Files:
    """What is written about a run, a failed or cancelled one too.

    Attributes:
        trace: Its trace.
        keep: Question and trace.
    """

    trace: Path | None
    keep: Path | None

    def write(self, progress: Progress, messages: Sequence[Mapping[str, Any]]) -> None:
        """What of it is wanted.

        Raises:
            Failed: A file cannot be written.
        """
        if progress.trace is None:
            return
        kept = {"messages": list(messages), "trace": progress.trace.model_dump(mode="json")}
        for option, path, content in (("--trace", self.trace, kept["trace"]), ("--keep", self.keep, kept)):
            if path is not None:
                try:
                    path.write_text(json.dumps(content, indent=2), encoding="utf-8")
                except OSError as error:
                    fail(f"{option} {path}: {error.strerror or 'cannot be written'}")


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
    keep: Annotated[
        Path | None, typer.Option("--keep", help="A file for question and trace, which 'replay' takes.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Ask one question, and see who answers what."""
    from composite_llm.cli.question import messages_of

    messages = messages_of(question, system, files or ())
    set_apart = {"max_cost_usd": max_cost_usd, "timeout": timeout, "reasoning": reasoning.value}
    from composite_llm.cli.offline import models

    with models(offline=offline) as at:
        target = at.target(strategy, model, proposers, profile, options).with_options(set_apart)
        _run(target, messages, at.config(config), Files(trace, keep), reasoning, as_json)


def _run(
    target: Target,
    messages: Sequence[dict[str, Any]],
    config: Any,
    files: Files,
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
        files.write(progress, messages)
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
