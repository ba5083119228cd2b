"""A picture of a run: a trace as HTML that needs nothing but a browser."""

from composite_llm.picture.framing import Framing
from composite_llm.picture.rendering import fragment, page

__all__ = ["Framing", "fragment", "page"]
