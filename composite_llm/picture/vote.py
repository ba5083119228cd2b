"""A council's vote: the table, with agreement and dissent, and every ballot as a table of places. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from composite_llm.model.trace import RankedAnswer, Ranking, ReviewRecord
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


_METHODS = {
    "borda": "Borda: points by place",
    "mean_position": "mean place",
    "copeland": "Copeland: duels won",
}


def vote(ranking: Ranking, limits: Limits) -> Html:
    """The section of a council's vote."""
    counted = sum(not ballot.abstained for ballot in ranking.ballots)
    how = f"{_METHODS[ranking.method]}; {plural(counted, 'ballot')} counted of {len(ranking.ballots):,}"
    return element(
        "section",
        element("h2", "Vote"),
        element("p", how, class_="sub"),
        element("div", wide(_table(ranking, limits), "Vote"), _agreement(ranking, limits), class_="vote"),
        ballots(ranking, limits) if ranking.ballots else None,
        class_="block",
    )


def _table(ranking: Ranking, limits: Limits) -> Html:
    heads = [
        element("th", name, scope="col", class_="figure" if name != "Answer" else None)
        for name in ("Rank", "Answer", "Score", "Mean place", "First places")
    ]
    shown = ranking.table[: limits.lines]
    more = len(ranking.table) - len(shown)
    return element(
        "table",
        element("caption", "Answers, best first", class_="unseen"),
        element("thead", element("tr", *heads)),
        element("tbody", *(_ranked(row, limits) for row in shown)),
        element("tfoot", element("tr", element("td", f"{plural(more, 'further answer')} not shown.", colspan=5)))
        if more
        else None,
        class_="plain ranking",
    )


def _ranked(row: RankedAnswer, limits: Limits) -> Html:
    mean = NONE if row.mean_position is None else f"{row.mean_position:.2f}"
    figures = (f"{row.score:.2f}", mean, f"{row.first_places:,}")
    return element(
        "tr",
        element("td", f"{row.rank:,}", class_="figure rank"),
        element(
            "th",
            element("span", shortened(row.name, limits.label), dir="auto"),
            element("small", shortened(row.label, limits.label), dir="auto"),
            scope="row",
        ),
        *(element("td", figure, class_="figure") for figure in figures),
        class_="first" if row.rank == 1 else None,
    )


def _agreement(ranking: Ranking, limits: Limits) -> Html:
    agreement = ranking.agreement
    if agreement is None:
        said = element("p", "Undefined: it takes two reviewers who ranked two answers in common.", class_="sub")
        figure = element("p", NONE, class_="big")
    else:
        said = _meter(agreement)
        figure = element("p", f"{agreement:.2f}", class_="big")
    dissent = [
        element(
            "p",
            element("strong", shortened(", ".join(dissenting.champions), limits.sentence), dir="auto"),
            " ranked ",
            element("strong", shortened(dissenting.name, limits.label), dir="auto"),
            f" first; the group put it in place {dissenting.rank:,}.",
        )
        for dissenting in ranking.dissent[: limits.lines]
    ]
    more = len(ranking.dissent) - len(dissent)
    return element(
        "div",
        element("h3", "Agreement (Kendall\N{RIGHT SINGLE QUOTATION MARK}s W)"),
        figure,
        said,
        element("h3", "Dissent"),
        *(
            dissent
            or [element("p", "None: no reviewer\N{RIGHT SINGLE QUOTATION MARK}s favourite ended low.", class_="sub")]
        ),
        element("p", f"{more:,} more not shown.", class_="note") if more else None,
        class_="agreement",
    )


def _meter(agreement: float) -> Html:
    place = f"{min(100.0, max(0.0, 100.0 * agreement)):.1f}%"
    scale = element(
        "svg",
        element("rect", class_="rail", x=0, y=4, width="100%", height=4),
        element("rect", class_="bar ok", x=0, y=4, width=place, height=4),
        class_="meter",
        width="100%",
        height=12,
        aria_hidden="true",
    )
    ends = element("span", element("span", "0 none"), element("span", "1 complete"), class_="ends")
    return element("div", scale, ends, class_="scale")
