"""Who draws a trace as HTML: it is registered from above, so that traces themselves know no HTML."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol


class TraceRenderer(Protocol):
    """Draws traces."""

    def page(self, trace: Any, /) -> str:
        """A self-contained page."""
        ...

    def fragment(self, trace: Any, /) -> str:
        """A piece of a page, for a notebook."""
        ...


_load: Callable[[], TraceRenderer] | None = None


def register_renderer(load: Callable[[], TraceRenderer]) -> None:
    """Have traces drawn by what `load` returns, which is called when one is first drawn: most programs never draw any."""
    global _load  # one per process
    _load = load


def renderer() -> TraceRenderer:
    """The one that was registered; importing `composite_llm` registers the package's own."""
    assert _load is not None
    return _load()
