"""A report as one self-contained HTML page, in the style of a trace's picture. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from composite_llm.evaluate import markdown
from composite_llm.evaluate.report import Report, Row
from composite_llm.picture.document import asset, document
from composite_llm.picture.markup import Child, Html, element, joined

_WIDTH, _HEIGHT = 720, 340
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 190, 16, 44
_LOGARITHMIC_FROM = 20
"""How many times the dearest contestant has to cost what the cheapest does."""

_STYLE = """
.composite-trace .dot { fill: var(--accent); stroke: var(--accent); }
.composite-trace .dot.subject { fill: var(--alarm); stroke: var(--alarm); }
.composite-trace .dot.member { fill: var(--sheet); }
.composite-trace .whisker { stroke: var(--soft); stroke-width: 1; }
.composite-trace .label { fill: var(--ink); font-size: 11px; }
.composite-trace ul.said { margin: 0 0 12px; padding-left: 18px; }
"""


def page(report: Report) -> str:
    """The whole document."""
    content = element(
        "main",
        element("header", element("p", "does it pay?", class_="over"), element("h1", report.subject)),
        element("p", markdown.summary(report), class_="remarks"),
        *_verdicts(report),
        _block("Contestants", _table(markdown.ROW_HEADS, map(markdown.row_cells, report.rows))),
        *_plots(report),
        *_comparisons(report),
        *_members(report),
        *_said("Remarks", markdown.remarks(report)),
        class_="sheet",
    )
    style = asset("picture.css") + asset("page.css") + _STYLE
    return document(f"{report.subject}: does it pay?", content, style=style, script="")


def _verdicts(report: Report) -> list[Html]:
    verdicts = [*(one.verdict for one in report.differences), *(one.verdict for one in report.preferences)]
    if not verdicts:
        return []
    items = (element("li", verdict) for verdict in verdicts)
    return [element("section", element("h2", f"{report.subject} is …"), element("ul", *items), class_="banner")]


def _comparisons(report: Report) -> list[Html]:
    blocks = []
    if report.differences:
        cells = map(markdown.difference_cells, report.differences)
        blocks.append(_block("Against each of the others", _table(markdown.DIFFERENCE_HEADS, cells)))
    if report.preferences:
        cells = map(markdown.preference_cells, report.preferences)
        blocks.append(_block("What the judge preferred", _table(markdown.PREFERENCE_HEADS, cells)))
    if report.judging is not None:
        blocks += _said("The judge", markdown.judging_lines(report.judging))
    return blocks


def _members(report: Report) -> list[Html]:
    if report.members is None:
        return []
    lines = _list(markdown.member_lines(report.members))
    return [_block("The members", lines, _table(markdown.WORTH_HEADS, markdown.worth_rows(report.members)))]


def _said(title: str, lines: Sequence[str]) -> list[Html]:
    return [_block(title, _list(lines))] if lines else []


def _list(lines: Iterable[str]) -> Html:
    return element("ul", *(element("li", line) for line in lines), class_="said")


def _block(title: str, *children: Child) -> Html:
    return element("section", element("h2", title), *children, class_="block")


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Html:
    head = element("tr", *(_head(text, place) for place, text in enumerate(heads)))
    body = [element("tr", *(_cell(text, place) for place, text in enumerate(row))) for row in rows]
    table = element("table", element("thead", head), element("tbody", *body), class_="plain")
    return element("div", table, class_="wide")


def _head(text: str, place: int) -> Html:
    return element("th", text, scope="col", class_="figure" if place else None)


def _cell(text: str, place: int) -> Html:
    return element("td", text, class_="figure") if place else element("th", text, scope="row")


def _plots(report: Report) -> list[Html]:
    """Accuracy against cost, or against tokens where a price is unknown or nothing."""
    rows = [row for row in report.rows if row.accuracy is not None]
    if not rows:
        return []
    priced = all(row.cost_usd for row in rows)
    values = [(row.cost_usd if priced else row.tokens) or 0.0 for row in rows]
    what = "$ for a question" if priced else "tokens for a question"
    return [_block("Accuracy against cost", _plot(rows, values, what))]


def _plot(rows: Sequence[Row], values: Sequence[float], what: str) -> Html:
    least, most = min(values), max(values)
    logarithmic = least > 0 and most >= least * _LOGARITHMIC_FROM
    width, height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def x(value: float) -> float:
        if logarithmic:
            share = math.log(value / least) / math.log(most / least)
            return _LEFT + 12 + share * (width - 24)
        return _LEFT + 12 + (value / most if most else 0.0) * (width - 24)

    def y(share: float) -> float:
        return _TOP + (1 - share) * height

    parts: list[Html] = []
    for tenth in range(0, 11, 2):
        at = y(tenth / 10)
        parts.append(_line(_LEFT, at, _WIDTH - _RIGHT, at, "grid"))
        parts.append(_text(_LEFT - 6, at + 4, f"{10 * tenth} %", "tick", "end"))
    ends = sorted({least, most}) if logarithmic else sorted({0.0, most})
    parts += [_text(x(value), _HEIGHT - _BOTTOM + 16, _amount(value, what), "tick", "middle") for value in ends]
    scale = f"{what}{', logarithmic' if logarithmic else ''}"
    parts.append(_text(_LEFT + width / 2, _HEIGHT - 8, scale, "tick", "middle"))
    for row, value in zip(rows, values, strict=True):
        parts += _point(row, x(value), y)
    label = element("title", f"Accuracy with its 95 % interval against {what}")
    drawn = joined([label, *parts])
    return element("svg", drawn, viewBox=f"0 0 {_WIDTH} {_HEIGHT}", width=_WIDTH, height=_HEIGHT, role="img")


def _point(row: Row, x: float, y: Callable[[float], float]) -> list[Html]:
    assert row.accuracy is not None
    share = row.accuracy
    kind = row.kind if row.kind in ("subject", "member") else "other"
    return [
        _line(x, y(share.low), x, y(share.high), "whisker"),
        element("circle", cx=f"{x:.1f}", cy=f"{y(share.value):.1f}", r="4", class_=f"dot {kind}"),
        _text(x + 8, y(share.value) + 4, row.name, "label", "start"),
    ]


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Html:
    return element("line", x1=f"{x1:.1f}", y1=f"{y1:.1f}", x2=f"{x2:.1f}", y2=f"{y2:.1f}", class_=kind)


def _text(x: float, y: float, text: str, kind: str, anchor: str) -> Html:
    return element("text", text, x=f"{x:.1f}", y=f"{y:.1f}", class_=kind, text_anchor=anchor)


def _amount(value: float, what: str) -> str:
    return markdown.usd(value) if what.startswith("$") else f"{value:.0f}"
