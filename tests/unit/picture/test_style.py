from __future__ import annotations

import re
from itertools import product

import pytest

from composite_llm.picture.document import asset

STYLE = asset("picture.css")
READABLE = 4.5
"""The contrast that WCAG 2 asks of text at level AA."""


def test_no_rule_reaches_beyond_the_picture() -> None:
    style = re.sub(r"/\*.*?\*/", "", STYLE, flags=re.DOTALL)
    # A rule that names its parent (`& .note`) lies within the parent's reach.
    outer, count = re.subn(r"(?<=[{};])[^{};]*&[^{}]*\{[^{}]*\}", "", style)
    rules = [one.strip() for one in re.findall(r"([^{};]+)\{", outer)]
    assert count > 100
    assert [one for one in rules if not one.startswith("@media")] == [".composite-trace"] * 4
    assert not re.search(r"@(font-face|keyframes|property|import|layer)", STYLE)


def palettes() -> dict[str, dict[str, str]]:
    found = [
        dict(re.findall(r"--([\w-]+): (#\w+);", block)) for block in re.findall(r"\{[^{}&]*--ground:[^{}&]*", STYLE)
    ]
    light, dark, printed = found
    return {"light": light, "dark": {**light, **dark}, "print": {**light, **printed}}


@pytest.mark.parametrize("scheme", ["light", "dark", "print"])
def test_text_can_be_read_on_everything_that_it_stands_on(scheme: str) -> None:
    colours = palettes()[scheme]
    grounds = ("ground", "sheet", "warn-ground", "alarm-ground")
    for text, ground in product(("ink", "soft", "accent", "alarm"), grounds):
        assert contrast(colours[text], colours[ground]) >= READABLE, (text, ground)


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    channels = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    red, green, blue = (one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
