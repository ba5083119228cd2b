"""A whole HTML document that obeys no style and no script but its own. Pure."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib import resources

from composite_llm.picture.markup import Html, element, literal


def document(
    name: str, content: Html, *, style: str, script: str, served: bool = False, reload_s: int | None = None
) -> str:
    """A whole document around some content.

    Args:
        name: Its title.
        content: What stands in its body.
        style: The only style that it obeys.
        script: The only script that it obeys.
        served: Whether it comes from a server, which its script and its forms may ask.
        reload_s: After how many seconds a browser without scripts asks for it again.
    """
    policy = "; ".join(
        [
            "default-src 'none'",
            f"style-src {_source_of(style)}",
            f"script-src {_source_of(script)}",
            *(["connect-src 'self'"] if served else []),
            "img-src data:",
            "base-uri 'none'",
            "form-action 'self'" if served else "form-action 'none'",
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
        element("noscript", element("meta", http_equiv="refresh", content=reload_s)) if reload_s is not None else None,
        element("style", literal(style)),
    )
    body = element("body", content, element("script", literal(script)), class_="composite-trace")
    return "<!doctype html>\n" + element("html", head, body, lang="en").source + "\n"


def _source_of(inline: str) -> str:
    """What a content security policy calls an inline style or script: nothing else is obeyed."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()}'"


@cache
def asset(name: str, package: str = "composite_llm.picture") -> str:
    """A style or a script that lies beside the code."""
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")
