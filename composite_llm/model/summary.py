"""The deliberation as text: `reasoning_content`, in one piece after a plain run, or line by line in a stream. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from composite_llm.model.call_tree import CallTree
from composite_llm.model.events import (
    AnswerChosen,
    AnswersAnalyzed,
    AttemptStarted,
    BallotsCounted,
    CallDone,
    Degraded,
    DeliberationReused,
    Event,
    Noted,
    RunStarted,
    StageDone,
    StageStarted,
    ToolsRun,
)
from composite_llm.model.review_labels import readable
from composite_llm.model.trace import Aggregation, Analysis, Call, Ranking, ToolCall, Trace
from composite_llm.model.usage import Usage, total_cost, total_usage


def summary(trace: Trace, *, full: bool = False, final_reasoning: str | None = None) -> str:
    """Sections, one per stage, in configuration order.

    Args:
        trace: A finished run.
        full: Also each member's own text.
        final_reasoning: The final model's own reasoning, for a heading of its own.
    """
    parts = []
    if trace.degraded:
        parts.append("\n".join(["Degraded:", *(f"- {reason}" for reason in trace.degraded)]))
    parts += trace.notes
    if trace.reused:
        parts.append(_REUSED)
    tree = CallTree(trace.calls)
    stages = _by_stage(tree.children(None))
    voted = next((stage for stage, calls in reversed(stages) if any(call.labels for call in calls)), None)
    for stage, calls in stages:
        lines = [calls[0].heading, *(_line_with_all_below(call, tree) for call in calls)]
        if full:
            lines += [f"\n{call.name} wrote:\n{readable(call)}" for call in calls if call.content and not call.final]
        if stage == voted and trace.ranking is not None:
            lines.append(vote_table(trace.ranking))
        parts.append("\n".join(lines))
    if trace.analysis is not None and (compared := analysis_text(trace.analysis)):
        parts.append(compared)
    if trace.aggregation is not None:
        parts.append(aggregation_line(trace.aggregation))
    if trace.tool_calls:
        parts.append("\n".join(["Tools", *map(tool_line, trace.tool_calls)]))
    parts.append(total_line(trace))
    if final_reasoning:
        parts.append(f"{REASONING_HEADING}\n{final_reasoning}")
    return "\n\n".join(parts)


_REUSED = "The answers of this user turn's deliberation are used again."
REASONING_HEADING = "The final model's own reasoning"


_BILL_BEFORE = re.compile(r"^Total: [0-9]+ calls, [^\n]*\n\n\Z", re.MULTILINE)
_BILL_BEHIND = re.compile(r"\n(?P<line>✓ [^\n]*)\n\nTotal: [0-9]+ calls, [^\n]*\n?\Z")
_BETWEEN = re.compile(r"^(?:[✓✗] |Degraded: |tool [^\n]* \(round |[^\n]*: asking )", re.MULTILINE)


def own_reasoning_in(text: str, name: str | None = None) -> str | None:
    """The final model's own reasoning in a text of ours that a caller sends back; None where it is not certain.

    Args:
        text: As it was given out, whole or streamed.
        name: The node of the final call: the text must say that it answered itself. None where a signature says so.
    """
    told, heading, own = text.rpartition(f"{REASONING_HEADING}\n")
    if not heading or name is None:
        return own if heading else None
    if streamed := _BILL_BEHIND.search(own):
        own, told = own[: streamed.start()], streamed["line"]
    elif not _BILL_BEFORE.search(told):
        return None
    answered = [line for line in told.split("\n") if line.startswith("✓ ")]
    if not answered or not answered[-1].startswith(f"✓ {name}: ") or "answered by " in answered[-1]:
        return None
    # Between what a model said in several turns a stream tells what happened.
    return None if streamed and _BETWEEN.search(own) else own


def event_text(event: Event, *, full: bool = False) -> str | None:
    """What a stream says when something happens; None for nothing."""
    match event:
        case RunStarted(notes) | Noted(notes):
            return "".join(f"{note}\n" for note in notes) or None
        case DeliberationReused():
            return f"{_REUSED}\n"
        case StageStarted(stage, names, title):
            return f"{title or stage.capitalize()}: asking {', '.join(names)}\n"
        case CallDone(call, spent, cost_usd):
            text = call_line(call, spent, cost_usd) + "\n"
            return (
                text + f"\n{call.name} wrote:\n{readable(call)}\n\n"
                if full and call.content and not call.final
                else text
            )
        case BallotsCounted() | AnswersAnalyzed() | AnswerChosen():
            return _outcome_text(event)
        case ToolsRun(records):
            return "".join(f"{tool_line(record)}\n" for record in records)
        case Degraded(reason):
            return f"Degraded: {reason}\n"
        case StageDone() | AttemptStarted():
            return None


def _outcome_text(event: BallotsCounted | AnswersAnalyzed | AnswerChosen) -> str | None:
    match event:
        case BallotsCounted(ranking):
            return vote_table(ranking) + "\n"
        case AnswersAnalyzed(analysis):
            return f"{text}\n" if (text := analysis_text(analysis)) else None
        case AnswerChosen(aggregation):
            return aggregation_line(aggregation) + "\n"


def call_line(call: Call, spent: Usage, cost_usd: float | None) -> str:
    """One member in one line."""
    mark = {"ok": "✓", "abandoned": "-", "cancelled": "-"}.get(call.status, "✗")
    parts = [f"{call.duration_s:.1f} s"]
    if spent.total_tokens:
        parts.append(
            f"{spent.total_tokens} tokens" + (f" ({spent.cached_tokens} cached)" if spent.cached_tokens else "")
        )
        parts.append(money(cost_usd))
    if len(call.attempts) > 1:
        parts.append(f"{len(call.attempts)} attempts")
    if call.status == "ok" and call.attempts and call.attempts[0].model != call.model:
        parts.append(f"answered by {call.model}")
    if call.cut_off:
        parts.append("cut off by its token limit")
    if call.status != "ok":
        parts.append(f"{call.status.replace('_', ' ')}: {call.error}" if call.error else call.status.replace("_", " "))
    return f"{mark} {call.name}: {', '.join(parts)}"


def _line_with_all_below(call: Call, tree: CallTree[Call]) -> str:
    calls = list(tree.subtree(call))
    return call_line(call, total_usage(c.usage for c in calls), total_cost(c.cost_usd for c in calls))


def tool_line(record: ToolCall) -> str:
    """One executed tool in one line; neither arguments nor results, which may be long or secret."""
    outcome = (f"failed: {record.error_class}" if record.error_class else "failed") if record.error else "ok"
    return f"tool {record.name} (round {record.round}): {outcome}, {record.duration_s:.1f} s"


def vote_table(ranking: Ranking) -> str:
    """The vote, best first, with agreement and dissent."""
    counted = sum(not ballot.abstained for ballot in ranking.ballots)
    lines = [f"Vote ({ranking.method}, {counted} ballots)"]
    for row in ranking.table:
        place = "" if row.mean_position is None else f", mean place {row.mean_position:.2f}"
        lines.append(f"{row.rank}. {row.name}: {row.score:.2f}{place}, {row.first_places} first")
    if ranking.agreement is not None:
        lines.append(f"Agreement (Kendall's W): {ranking.agreement:.2f}")
    lines += [
        f"Dissent: {', '.join(dissent.champions)} ranked {dissent.name} first; the majority ranked it low"
        for dissent in ranking.dissent
    ]
    return "\n".join(lines)


def aggregation_line(aggregation: Aggregation) -> str:
    """Whose answer was taken, and who says the same."""
    if aggregation.rule == "pick":
        return f"The answer is {aggregation.name}'s, the winner of the vote"
    shares = "; ".join(f"{', '.join(group.names)} ({group.share:.0%})" for group in aggregation.groups)
    return f"The answer is {aggregation.name}'s; who says the same: {shares}"


def analysis_text(analysis: Analysis) -> str:
    """How the answers compare, a heading for each kind of finding and a line for each; blank where nothing was found."""
    return "\n".join(
        line for heading, found in analysis_lines(analysis) for line in (heading, *(f"- {one}" for one in found))
    )


def analysis_lines(analysis: Analysis) -> list[tuple[str, list[str]]]:
    """The kinds of findings of which there are any, each with its heading."""
    contradictions = [
        f"{found.topic}: " + "; ".join(f"{stance.label}: {stance.stance}" for stance in found.stances)
        for found in analysis.contradictions
    ]
    kinds = [
        ("The answers agree", analysis.consensus),
        ("The answers contradict each other", contradictions),
        ("Only some cover", [f"{', '.join(found.labels)}: {found.point}" for found in analysis.partial_coverage]),
        ("Only one has", [f"{found.label}: {found.insight}" for found in analysis.unique_insights]),
        ("No answer deals with", analysis.blind_spots),
    ]
    return [(heading, list(found)) for heading, found in kinds if found]


def total_line(trace: Trace) -> str:
    """The bill."""
    without_usage = trace.attempts_without_usage
    return (
        f"Total: {len(trace.calls)} calls, {trace.usage.prompt_tokens} prompt + {trace.usage.completion_tokens} "
        f"completion tokens, {money(trace.cost_usd)}, {trace.duration_s:.1f} s"
        + (
            f"; at least, since {without_usage} attempt{'s' if without_usage > 1 else ''} ended without usage"
            if without_usage
            else ""
        )
    )


def money(cost_usd: float | None) -> str:
    """A price for people; an unknown one says so."""
    return "price unknown" if cost_usd is None else f"${cost_usd:.6f}"


def _by_stage(calls: Iterable[Call]) -> list[tuple[str, Sequence[Call]]]:
    stages: dict[str, list[Call]] = {}
    for call in calls:
        stages.setdefault(call.stage, []).append(call)
    return list(stages.items())


def brief_line(trace: Trace) -> str:
    """A run in a few words: calls, tokens, money, seconds; and whether all went as configured."""
    calls = len(trace.calls)
    parts = [
        f"{calls} call{'s' if calls != 1 else ''}",
        f"{trace.usage.prompt_tokens} + {trace.usage.completion_tokens} tokens",
        money(trace.cost_usd),
        f"{trace.duration_s:.1f} s",
    ]
    if trace.degraded:
        parts.append("degraded")
    return " · ".join(parts)
