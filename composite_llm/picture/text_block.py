"""A text that unfolds: the question, an answer, a review, a tool's arguments or its result. Pure."""

from __future__ import annotations

from composite_llm.picture.figures import plural
from composite_llm.picture.limits import shortened
from composite_llm.picture.markup import Html, element

_SHORT = 600
"""Characters up to which a text is unfolded from the start."""
_PREVIEW = 240


def text_block(what: str, text: str, limit: int, *, unfolded: bool = False, code: bool = False) -> Html:
    """A text under a line that unfolds it, which says how long it is.

    Args:
        what: What it is: `Answer`, `Result`.
        text: As it came; shown as text, whatever it holds.
        limit: Characters that are shown; a note says so where there are more.
        unfolded: Whether a long one is shown from the start, too.
        code: Whether its columns matter.
    """
    is_open = unfolded or len(text) <= _SHORT
    preview = None if is_open else element("span", shortened(text, _PREVIEW), class_="preview", dir="auto")
    length = element("small", plural(len(text), "character"))
    shown = text[:limit]
    cut = f"The first {len(shown):,} of {len(text):,} characters; the rest is in the trace."
    return element(
        "details",
        element("summary", what, length, preview),
        element("div", shown, class_="text code" if code else "text", dir="auto"),
        element("p", cut, class_="note") if len(shown) < len(text) else None,
        open=is_open,
        class_="unfolds",
    )


def question(what: str, text: str, text_limit: int) -> Html:
    """The section of the question."""
    card = element("article", text_block(what, text, text_limit), class_="card")
    return element("section", element("h2", "Asked"), card, class_="block")
