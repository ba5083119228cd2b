"""What each model did and cost over the whole run. Pure."""

from __future__ import annotations

from composite_llm.model.trace import Attempt, Trace
from composite_llm.model.usage import total_cost, total_usage
from composite_llm.picture.figures import count, plural, price_of, seconds
from composite_llm.picture.limits import Limits, shortened
from composite_llm.picture.markup import Html, element, wide

_COLUMNS = ("Model", "Attempts", "Not answered", "Time", "Prompt", "Completion", "Cost")


def models(trace: Trace, limits: Limits) -> Html | None:
    """The section; None where one model did all."""
    by_model: dict[str, list[Attempt]] = {}
    parents = {call.parent_id for call in trace.calls}
    for call in trace.calls:
        # What a composite consumed is that of the calls below it.
        for attempt in call.attempts if call.id not in parents else ():
            by_model.setdefault(attempt.model, []).append(attempt)
    if len(by_model) < 2:
        return None
    shown = list(by_model.items())[: limits.lines]
    more = len(by_model) - len(shown)
    heads = (element("th", name, scope="col", class_=None if name == "Model" else "figure") for name in _COLUMNS)
    table = element(
        "table",
        element("caption", "Attempts, time, tokens and cost of each model", class_="unseen"),
        element("thead", element("tr", *heads)),
        element("tbody", *(_model(name, attempts, limits) for name, attempts in shown)),
        class_="plain",
    )
    return element(
        "section",
        element("h2", "By model"),
        wide(table, "By model"),
        element("p", f"{plural(more, 'further model')} not shown.", class_="note") if more else None,
        class_="block",
    )


def _model(name: str, attempts: list[Attempt], limits: Limits) -> Html:
    spent = total_usage(attempt.usage for attempt in attempts)
    figures = (
        count(len(attempts)),
        count(sum(attempt.status != "ok" for attempt in attempts)),
        seconds(sum(attempt.duration_s for attempt in attempts)),
        count(spent.prompt_tokens),
        count(spent.completion_tokens),
        price_of(
            spent,
            total_cost(attempt.cost_usd for attempt in attempts),
            without_usage=sum(a.without_usage for a in attempts),
        ),
    )
    return element(
        "tr",
        element("th", element("span", shortened(name, limits.label), dir="auto"), scope="row"),
        *(element("td", figure, class_="figure") for figure in figures),
    )
