"""How the answers compare: the section of the analysis that the final model was given. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from composite_llm.model.summary import analysis_lines
from composite_llm.model.trace import Analysis
from composite_llm.picture.limits import Limits, shortened
from composite_llm.picture.markup import Html, element


def analysis(found: Analysis, limits: Limits) -> Html:
    """The section: a list for each kind of finding."""
    kinds = analysis_lines(found)
    nothing = element("p", "It found nothing to say.", class_="sub")
    return element(
        "section",
        element("h2", "Analysis"),
        *([nothing] if not kinds else []),
        *(part for heading, lines in kinds for part in _kind(heading, lines, limits)),
        class_="block",
    )


def _kind(heading: str, lines: Sequence[str], limits: Limits) -> Sequence[Html]:
    shown = lines[: limits.lines]
    more = len(lines) - len(shown)
    items = (element("li", shortened(line, limits.sentence), dir="auto") for line in shown)
    parts = [element("h3", heading), element("ul", *items)]
    return [*parts, element("p", f"{more:,} more not shown.", class_="note")] if more else parts
