"""Every ballot of a council's vote, as a table of places. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from composite_llm.model.trace import Ranking, ReviewRecord
from composite_llm.picture.figures import NONE, plural
from composite_llm.picture.limits import Limits, shortened
from composite_llm.picture.markup import Html, element, wide


def ballots(ranking: Ranking, limits: Limits) -> Html:
    """A row per answer, a column per reviewer, and what was wrong with a ballot below."""
    shown = ranking.ballots[: limits.lines]
    names = [row.name for row in ranking.table[: limits.lines]]
    heads = [
        element("th", element("span", shortened(ballot.reviewer, limits.label), dir="auto"), scope="col")
        for ballot in shown
    ]
    rows = [_ballot_row(name, shown, limits) for name in names]
    more = len(ranking.ballots) - len(shown)
    table = element(
        "table",
        element("caption", "Places on each ballot; a reviewer does not rank its own answer", class_="unseen"),
        element("thead", element("tr", element("th", "Answer", scope="col"), *heads)),
        element("tbody", *rows),
        class_="plain ballots",
    )
    return element(
        "details",
        element("summary", f"Ballots ({len(ranking.ballots):,})"),
        wide(table, "Ballots"),
        element("p", f"{plural(more, 'further ballot')} not shown.", class_="note") if more else None,
        *(_problems(ballot, limits) for ballot in shown if ballot.problems),
        open=True,
    )


def _ballot_row(name: str, ballots: Sequence[ReviewRecord], limits: Limits) -> Html:
    return element(
        "tr",
        element("th", element("span", shortened(name, limits.label), dir="auto"), scope="row"),
        *(_place(name, ballot) for ballot in ballots),
    )


def _place(name: str, ballot: ReviewRecord) -> Html:
    if ballot.abstained:
        return element("td", "abstained", class_="none")
    if name in ballot.ranking:
        place = ballot.ranking.index(name) + 1
        return element("td", f"{place:,}", class_="place first" if place == 1 else "place")
    return element("td", "own" if name == ballot.reviewer else NONE, class_="none")


def _problems(ballot: ReviewRecord, limits: Limits) -> Html:
    said = shortened("; ".join(ballot.problems[: limits.lines]), limits.sentence)
    reviewer = element("span", shortened(ballot.reviewer, limits.label), dir="auto")
    return element("p", reviewer, ": ", element("span", said, dir="auto"), class_="note")
