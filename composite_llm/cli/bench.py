"""`composite bench`: does it pay, on one's own questions."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from composite_llm.cli.exits import INTERRUPTED, fail, misuse
from composite_llm.cli.output import Json, drawing, print_json
from composite_llm.cli.target import (
    ConfigOption,
    ModelOption,
    OfflineOption,
    OptionsOption,
    ProfileOption,
    ProposersOption,
    StrategyOption,
)

if TYPE_CHECKING:
    from composite_llm.evaluate import Bench, Price, Question, Report

_GENERATED = "generated"


def bench(
    questions: Annotated[
        str, typer.Argument(help="A .jsonl, .csv or .yaml file, or 'generated' (40 that ship), 'generated:200'.")
    ],
    against: Annotated[
        str,
        typer.Option(
            "--against", help="With commas: solo, members, majority, profiles and model strings.", metavar="NAME,…"
        ),
    ] = "solo,members,majority",
    strategy: StrategyOption = None,
    model: ModelOption = None,
    proposers: ProposersOption = None,
    profile: ProfileOption = None,
    score: Annotated[
        str, typer.Option("--score", help="auto, exact, numeric, choice, json, regex, judge, or FILE.py:FUNCTION.")
    ] = "auto",
    tolerance: Annotated[
        str | None, typer.Option("--tolerance", help="How far off a number may be: 0.01, or 1%.")
    ] = None,
    judge: Annotated[
        str | None, typer.Option("--judge", help="The model that compares answers in pairs, blind and in both orders.")
    ] = None,
    judge_may_compete: Annotated[
        bool, typer.Option("--judge-may-compete", help="Let the judge be a model that it judges.")
    ] = False,
    criteria: Annotated[str | None, typer.Option("--criteria", help="What the judge should look at.")] = None,
    repeat: Annotated[int, typer.Option("--repeat", min=1, help="Ask each question so often: the noise floor.")] = 1,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Only the first so many questions.")] = None,
    max_parallel: Annotated[int, typer.Option("--max-parallel", min=1, help="Requests at once.")] = 4,
    max_cost_usd: Annotated[
        float | None, typer.Option("--max-cost-usd", help="US dollars at most, of all of it.")
    ] = None,
    options: OptionsOption = None,
    config: ConfigOption = None,
    offline: OfflineOption = False,
    results: Annotated[
        Path | None,
        typer.Option(
            "--results",
            help="The file that keeps the answers; what it has is not asked again.",
            show_default="NAME.results.jsonl here",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Begin without a question about the price.")] = False,
    markdown: Annotated[Path | None, typer.Option("--markdown", help="A file for the report as Markdown.")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="A file for the report as a page with a plot.")] = None,
    as_json: Json = False,
) -> None:
    """Ask a composite and others the same questions, and see whether it pays."""
    from composite_llm.cli.loading import load
    from composite_llm.cli.offline import models

    asked = _questions(questions, limit)
    judged = judge is not None or score == "judge"
    if judged and judge is None:
        misuse("--score judge needs --judge MODEL")
    with models(offline=offline) as at:
        at.know({question.question: str(question.answer) for question in asked})
        target = at.target(strategy, model, proposers, profile, options)
        load(at.config(config))
        from composite_llm.evaluate import Bench, Scoring, Settings

        names = [name.strip() for name in against.split(",") if name.strip()]
        settings = Settings(
            against=[at.contestant(name) for name in names],
            scoring=Scoring("auto" if judged else score, tolerance),
            repeat=repeat,
            judge=at.contestant(judge) if judge is not None else None,
            judge_may_compete=judge_may_compete,
            criteria=criteria,
            max_parallel=max_parallel,
            max_cost_usd=max_cost_usd,
            results=results or Path(f"{_name_of(questions)}.results.jsonl"),
        )
        comparison = Bench(asked, target.model, target.options, settings)
        _agree(comparison.price(), free=offline, yes=yes)
        interrupted = _run(comparison)
    _print(comparison, as_json, markdown, html)
    if interrupted:
        raise typer.Exit(INTERRUPTED)


def _questions(named: str, limit: int | None) -> list[Question]:
    from composite_llm.evaluate import generated_questions, load_questions

    kind, _, count = named.partition(":")
    if kind == _GENERATED and not Path(named).exists():
        if count and not (count.isdigit() and int(count)):
            misuse(f"{named}: write generated:200")
        found = generated_questions(int(count)) if count else generated_questions()
    else:
        found = load_questions(Path(named))
    return found[:limit]


def _name_of(named: str) -> str:
    return named.partition(":")[0] if named.startswith(_GENERATED) else Path(named).stem


def _agree(price: Price, *, free: bool, yes: bool) -> None:
    """The price comes first; a person at a terminal is asked.

    Raises:
        Abort: The person does not want to.
    """
    from composite_llm.evaluate.markdown import usd

    known = f", {price.done} are there already" if price.done else ""
    worst = "the price is unknown" if price.worst_usd is None else f"{usd(price.worst_usd)} at worst"
    print(f"{price.requests} answers are wanted{known}: {price.calls} calls, {worst}.", file=sys.stderr)
    if price.requests and not free and not yes and sys.stdin.isatty() and sys.stderr.isatty():
        typer.confirm("Go on?", default=True, abort=True, err=True)


def _run(comparison: Bench) -> bool:
    """Ask; whether it was interrupted."""
    return asyncio.run(_running(comparison))


async def _running(comparison: Bench) -> bool:
    from composite_llm.cli.bench_view import view_of
    from composite_llm.cli.draining import stopped_by_interrupt

    view = view_of(comparison, drawn=drawing() and sys.stderr.isatty())
    with stopped_by_interrupt() as stop:
        try:
            await comparison.run(view.changed, stop=stop)
        except asyncio.CancelledError:
            return True
        finally:
            view.end()
        return stop.is_set()


def _print(comparison: Bench, as_json: bool, markdown: Path | None, html: Path | None) -> None:
    from composite_llm.evaluate import report_of

    report = report_of(comparison)
    _write(markdown, "--markdown", report)
    _write(html, "--html", report)
    if as_json:
        print_json(report)
    else:
        from composite_llm.cli.bench_view import print_report

        print_report(report)
    if not report.complete:
        print("composite: not everything was asked; the same command goes on from here", file=sys.stderr)


def _write(path: Path | None, option: str, report: Report) -> None:
    if path is None:
        return
    from composite_llm.evaluate.markdown import markdown
    from composite_llm.evaluate.page import page

    made: Any = page if option == "--html" else markdown
    try:
        path.write_text(made(report), encoding="utf-8")
    except OSError as error:
        fail(f"{option} {path}: {error.strerror or 'cannot be written'}")
