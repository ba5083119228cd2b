"""`composite replay`: a stored deliberation again, from where its answers are."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from composite_llm.cli.exits import fail, misuse
from composite_llm.cli.output import Json, print_json, print_table
from composite_llm.cli.store_file import StoreOption, store_failures, store_of
from composite_llm.cli.target import ConfigOption, OptionsOption, parsed_options

if TYPE_CHECKING:
    from composite_llm import Trace
    from composite_llm.evaluate.replaying import Replay


class RankingName(StrEnum):
    """How a vote is counted."""

    borda = "borda"
    mean_position = "mean_position"
    copeland = "copeland"


class AggregationName(StrEnum):
    """Where the answer comes from."""

    synthesize = "synthesize"
    pick = "pick"
    vote = "vote"


@dataclass(frozen=True, slots=True)
class Stored:
    """A run that is kept.

    Attributes:
        name: Its file, or its id.
        trace: What it did.
        messages: What it was asked; None where only the trace was kept.
    """

    name: str
    trace: Trace
    messages: list[dict[str, Any]] | None


def replay(
    traces: Annotated[
        list[str],
        typer.Argument(
            metavar="TRACE…", help="Files of 'ask --keep' or '--trace', or ids of runs in the telemetry store."
        ),
    ],
    chairman: Annotated[
        str | None, typer.Option("--chairman", help="Another final model: a model string, or a node as YAML. One call.")
    ] = None,
    ranking: Annotated[
        RankingName | None, typer.Option("--ranking", help="Count the vote by this rule. No call.")
    ] = None,
    aggregation: Annotated[
        AggregationName | None,
        typer.Option("--aggregation", help="Have it written again, or take the winner's or the majority's answer."),
    ] = None,
    without: Annotated[list[str] | None, typer.Option("--without", help="Leave out a member; once for each.")] = None,
    question: Annotated[
        str | None, typer.Option("--question", help="What was asked, where only the trace was kept.")
    ] = None,
    options: OptionsOption = None,
    config: ConfigOption = None,
    store: StoreOption = None,
    as_json: Json = False,
) -> None:
    """Show what a stored deliberation would have become, without asking its members again."""
    from composite_llm.cli.loading import load

    given = parsed_options(options or ())
    node = _node(chairman)
    load(config)
    import composite_llm

    stored = [_stored(name, question, store) for name in traces]
    found = []
    for run in stored:
        done = composite_llm.replay(
            run.trace,
            messages=run.messages,
            chairman=node,
            ranking=ranking.value if ranking is not None else None,
            aggregation=aggregation.value if aggregation is not None else None,
            without=without or (),
            **given,
        )
        found.append((run.name, done))
    if as_json:
        print_json([_document(name, done) for name, done in found])
        return
    for name, done in found:
        _print(name, done)


def _node(text: str | None) -> str | dict[str, Any] | None:
    import yaml

    if text is None:
        return None
    try:
        node = yaml.safe_load(text)
    except yaml.YAMLError:
        node = None
    if not isinstance(node, str | dict):
        misuse(f"--chairman {text}: write a model string, or a node as YAML")
    return node


def _stored(name: str, question: str | None, store: Path | None) -> Stored:
    asked = [{"role": "user", "content": question}] if question is not None else None
    path = Path(name)
    if not path.exists():
        with store_failures():
            runs = store_of(store)
            record = runs.run(name)
            if asked is None and record.question is not None and record.privacy == "full":
                asked = [{"role": "user", "content": record.question}]
            return Stored(record.id, runs.trace(record.id), asked)
    return _of_file(path, asked)


def _of_file(path: Path, asked: list[dict[str, Any]] | None) -> Stored:
    from pydantic import ValidationError

    from composite_llm import Trace

    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        fail(f"{path}: {error.strerror or 'cannot be read'}")
    except ValueError:
        misuse(f"{path}: is no JSON")
    kept = content if isinstance(content, dict) else {}
    messages = kept.get("messages") if "trace" in kept else None
    try:
        trace = Trace.model_validate(kept.get("trace", kept))
    except ValidationError:
        misuse(f"{path}: holds no trace")
    return Stored(str(path), trace, asked or messages)


def _document(name: str, done: Replay) -> dict[str, Any]:
    return {
        "run": name,
        "content": done.content,
        "content_before": done.content_before,
        "ranking": done.ranking,
        "ranking_before": done.before.ranking,
        "calls": done.calls,
        "cost_usd": done.cost_usd,
        "degraded": done.trace.degraded,
    }


def _print(name: str, done: Replay) -> None:
    """Both side by side: the vote as a table, then the answers one below the other."""
    from composite_llm.cli.terminal_text import harmless
    from composite_llm.model.summary import money

    print(f"{name}: {done.calls} calls, {money(done.cost_usd)}")
    before, now = done.before.ranking, done.ranking
    if before is not None or now is not None:
        places = {ranking_of: _places(ranking) for ranking_of, ranking in (("before", before), ("now", now))}
        names = list(dict.fromkeys([*places["now"], *places["before"]]))
        rows = [[harmless(one), places["before"].get(one, "-"), places["now"].get(one, "-")] for one in names]
        methods = [ranking.method if ranking is not None else "no vote" for ranking in (before, now)]
        print_table(["MEMBER", f"BEFORE ({methods[0]})", f"NOW ({methods[1]})"], rows, right=())
    if done.content is not None and done.content == done.content_before:
        print("\nThe answer is the same.")
        return
    for title, text in (("Before", done.content_before), ("Now", done.content)):
        print(f"\n{title}:\n{harmless(text) if text is not None else '(none)'}")


def _places(ranking: Any) -> dict[str, str]:
    return {} if ranking is None else {row.name: f"{row.rank} ({row.score:g})" for row in ranking.table}
