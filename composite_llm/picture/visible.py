"""Characters that a page must not obey, made visible. Pure."""

from __future__ import annotations

_BIDI = (*range(0x202A, 0x202F), *range(0x2066, 0x206A))
"""Embeddings, overrides and isolates: they can show a text in another order than it was written ("Trojan Source").

The plain marks LRM, RLM and ALM only nudge neutral characters and belong to ordinary Hebrew and Arabic.
"""

_SHOWN: dict[int, str] = {
    **{code: chr(0x2400 + code) for code in range(0x20) if code not in (0x09, 0x0A)},
    0x7F: "\N{SYMBOL FOR DELETE}",
    **{
        code: f"\N{MATHEMATICAL LEFT ANGLE BRACKET}U+{code:04X}\N{MATHEMATICAL RIGHT ANGLE BRACKET}"
        for code in (*range(0x80, 0xA0), *_BIDI)
    },
    # No encoder takes half of a pair; JSON of a model can hold one.
    **dict.fromkeys(range(0xD800, 0xE000), "\N{REPLACEMENT CHARACTER}"),
}


def visible(text: str) -> str:
    """The text with line ends as line feeds, and controls as signs of themselves."""
    if text.isascii() and text.isprintable():
        return text
    return text.replace("\r\n", "\n").replace("\r", "\n").translate(_SHOWN)
