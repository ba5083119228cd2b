"""The top of a page: what departed from the configuration, and the run's facts, without its question. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from composite_llm.model.structured_text import Degradation
from composite_llm.model.summary import aggregation_line
from composite_llm.model.trace import Trace
from composite_llm.picture.figures import at_least, count, known_part, moment, plural, price, seconds
from composite_llm.picture.limits import Limits, shortened
from composite_llm.picture.markup import Child, Html, element
from composite_llm.picture.page_context import Ending, PageContext

_HEADLINES: dict[Ending, str] = {
    "failed": "This run gave no answer",
    "cancelled": "This run was cancelled: its caller stopped waiting",
    "lost": "This run was lost",
}
_ENDINGS: dict[Ending, str] = {
    "running": "not yet",
    "ok": "with an answer",
    "failed": "with an error",
    "cancelled": "cancelled",
    "lost": "lost",
}


def heading(trace: Trace, context: PageContext, limits: Limits) -> Html:
    """The header: the name of the run, what went wrong, the figures, the rest of the facts.

    Args:
        trace: The run.
        context: What is known beside it.
        limits: What is shown at most.
    """
    return element(
        "header",
        element("p", shortened(trace.strategy_title or trace.strategy, limits.label), class_="over", dir="auto"),
        element("h1", shortened(trace.model, limits.label), dir="auto"),
        _alarm(trace, context, limits),
        _degraded(trace.degraded, limits),
        _said([*context.remarks, *_of_the_run(trace)], limits),
        _figures(trace),
        _facts(trace, context, limits),
    )


def _alarm(trace: Trace, context: PageContext, limits: Limits) -> Html | None:
    headline = _HEADLINES.get(context.ending_of(trace))
    if headline is None:
        return None
    return element(
        "div",
        element("h2", headline),
        element("p", shortened(trace.error, limits.sentence), dir="auto") if trace.error else None,
        class_="banner failed",
        role="note",
    )


def _degraded(reasons: Sequence[Degradation], limits: Limits) -> Html | None:
    if not reasons:
        return None
    shown = reasons[: limits.lines]
    more = len(reasons) - len(shown)
    return element(
        "div",
        element("h2", f"Degraded: {plural(len(reasons), 'departure')} from the configuration"),
        element("ul", *(_reason(reason, limits) for reason in shown)),
        element("p", f"{more:,} more not shown.", class_="note") if more else None,
        class_="banner degraded",
        role="note",
    )


def _reason(reason: Degradation, limits: Limits) -> Html:
    """A reason with its code set apart."""
    code = shortened(reason.code, limits.label)
    return element("li", element("code", code), " ", shortened(reason.clause, limits.sentence), dir="auto")


def _of_the_run(trace: Trace) -> list[str]:
    reused = "The answers of this user turn\N{RIGHT SINGLE QUOTATION MARK}s deliberation are used again."
    chosen = [aggregation_line(trace.aggregation)] if trace.aggregation is not None else []
    return [*trace.notes, *([reused] if trace.reused else []), *chosen]


def _said(lines: Sequence[str], limits: Limits) -> Html | None:
    if not lines:
        return None
    shown = [element("p", shortened(line, limits.sentence), dir="auto") for line in lines[: limits.lines]]
    more = len(lines) - len(shown)
    return element("div", *shown, element("p", f"{more:,} more not shown.") if more else None, class_="remarks")


def _figures(trace: Trace) -> Html:
    attempts = sum(len(call.attempts) for call in trace.calls)
    usage = trace.usage
    parts = [f"{count(usage.prompt_tokens)} prompt", f"{count(usage.completion_tokens)} completion"]
    parts += [f"{count(usage.cached_tokens)} cached"] if usage.cached_tokens else []
    parts += [f"{count(usage.reasoning_tokens)} reasoning"] if usage.reasoning_tokens else []
    return element(
        "dl",
        _figure("Duration", seconds(trace.duration_s), _failures(trace)),
        _figure("Cost", _cost(trace), _cost_note(trace)),
        _figure("Tokens", at_least(count(usage.total_tokens), trace.attempts_without_usage), ", ".join(parts)),
        _figure("Calls", count(len(trace.calls)), plural(attempts, "attempt")),
        class_="figures",
    )


def _figure(name: str, value: str, more: str) -> Html:
    unknown = value == "unknown"
    return element(
        "div",
        element("dt", name),
        element("dd", value, class_="big unknown" if unknown else "big"),
        element("dd", more, class_="sub"),
    )


def _failures(trace: Trace) -> str:
    bad = sum(attempt.status in ("failed", "timed_out") for call in trace.calls for attempt in call.attempts)
    return plural(bad, "failed attempt") if bad else "no failed attempt"


def _cost(trace: Trace) -> str:
    known = price(trace.cost_usd)
    return "unknown" if known == "price unknown" else at_least(known, trace.attempts_without_usage)


def _cost_note(trace: Trace) -> str:
    costs = [attempt.cost_usd for call in trace.calls for attempt in call.attempts]
    if _cost(trace) != "unknown":
        without_usage = trace.attempts_without_usage
        return (
            f"at least: {plural(without_usage, 'attempt')} cut off without usage" if without_usage else "all attempts"
        )
    unknown = sum(price(cost) == "price unknown" for cost in costs)
    return f"{price(known_part(costs))} known; no price for {plural(unknown, 'attempt')}"


def _facts(trace: Trace, context: PageContext, limits: Limits) -> Html:
    """Who, when, and where from."""
    started = moment(trace.started_at)
    when = element("time", f"{started:%Y-%m-%d %H:%M:%S} UTC", datetime=started.isoformat())
    facts: list[tuple[str, Child]] = [
        ("Strategy", shortened(trace.strategy, limits.label)),
        ("Run", element("code", shortened(trace.id, limits.label))),
        ("Started", when),
        ("Ended", _ENDINGS[context.ending_of(trace)]),
        *((name, shortened(value, limits.label)) for name, value in context.origin),
    ]
    pairs = (element("div", element("dt", name), element("dd", value, dir="auto")) for name, value in facts)
    return element("dl", *pairs, class_="facts")
