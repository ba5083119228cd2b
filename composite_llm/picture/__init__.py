"""A picture of a run: a trace as HTML that needs nothing but a browser."""

from composite_llm.picture.page_context import PageContext
from composite_llm.picture.rendering import fragment, page

__all__ = ["PageContext", "fragment", "page"]
