"""What was asked, where a store kept it. Pure."""

from __future__ import annotations

from composite_llm.picture.markup import Html, element
from composite_llm.picture.text_block import text_block


def question(what: str, text: str, text_limit: int) -> Html:
    """The section of the question."""
    card = element("article", text_block(what, text, text_limit), class_="card")
    return element("section", element("h2", "Asked"), card, class_="block")
