"""The rows of the waterfall's table, alike for stages, calls, attempts, tools and sums. Pure."""

from __future__ import annotations

from typing import Literal

from composite_llm.model.trace import CallStatus
from composite_llm.picture.attempt_kinds import STATUS_WORDS
from composite_llm.picture.markup import Child, Html, element

COLUMNS = ("Call", "Timeline", "Time", "Tokens", "Cost")
_DEEPEST = 4
"""Further levels are indented no further, so that something is left of the width."""


def row(
    name: Html,
    drawing: Html | None,
    figures: tuple[str, str, str],
    class_: str,
) -> Html:
    """One row: its name, what is drawn, and time, tokens and money. The roles outlive a layout that is no table's."""
    return element(
        "tr",
        name,
        element("td", drawing, role="cell", class_="time"),
        *map(_figure, figures),
        class_=class_,
        role="row",
    )


def name_cell(*children: Child, depth: int = 0, scope: Literal["row", "rowgroup"] = "row") -> Html:
    """The cell that says what a row is about, indented by how deep it lies."""
    return element("th", *children, scope=scope, role="rowheader", class_=f"name d{min(depth, _DEEPEST)}")


def note_row(text: str) -> Html:
    """A row that says what is not shown."""
    return element(
        "tr", element("td", text, colspan=len(COLUMNS), role="cell", class_="note"), role="row", class_="note"
    )


def status_word(status: CallStatus) -> Html | None:
    """A word beside the name, since a colour alone tells too little; none for what went well."""
    return None if status == "ok" else element("span", STATUS_WORDS[status], class_=f"status {status}")


def _figure(text: str) -> Html:
    return element("td", text, role="cell", class_="figure unknown" if text == "price unknown" else "figure")
