"""A whole HTML document that obeys no style and no script but its own. Pure."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib import resources

from composite_llm.picture.markup import Html, element, literal


def document(name: str, content: Html, *, connect: bool = False, script: str = "page.js") -> str:
    """A whole document around some content.

    Args:
        name: Its title.
        content: What stands in its body.
        connect: Whether its script may ask the server it came from.
        script: Which of the package's scripts it has.
    """
    style, code = asset("picture.css") + asset("page.css"), asset(script)
    policy = "; ".join(
        [
            "default-src 'none'",
            f"style-src {_source_of(style)}",
            f"script-src {_source_of(code)}",
            *(["connect-src 'self'"] if connect else []),
            "img-src data:",
            "base-uri 'none'",
            "form-action 'self'" if connect else "form-action 'none'",
        ]
    )
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="referrer", content="no-referrer"),
        # Else a browser asks the server for one.
        element("link", rel="icon", href="data:,"),
        element("title", name),
        element("style", literal(style)),
    )
    body = element("body", content, element("script", literal(code)), class_="composite-trace")
    return "<!doctype html>\n" + element("html", head, body, lang="en").source + "\n"


def _source_of(inline: str) -> str:
    """What a content security policy calls an inline style or script: nothing else is obeyed."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()}'"


@cache
def asset(name: str) -> str:
    """A style or a script of this package."""
    return resources.files("composite_llm.picture").joinpath(name).read_text(encoding="utf-8")
