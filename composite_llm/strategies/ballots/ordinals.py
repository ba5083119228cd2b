"""Places as people write them: "1.", "2nd", "#3", "\N{FIRST PLACE MEDAL}", "first"."""

from __future__ import annotations

import re

MEDALS = "\N{FIRST PLACE MEDAL}\N{SECOND PLACE MEDAL}\N{THIRD PLACE MEDAL}"

_WORDS = {
    word: place
    for place, words in enumerate(
        (
            ("first", "best", "winner", "gold", "primero", "primera", "premier", "erster", "第一"),
            ("second", "silver", "segundo", "segunda", "deuxième", "zweiter", "第二"),
            ("third", "bronze", "tercero", "tercera", "troisième", "dritter", "第三"),
            ("fourth", "第四"),
            ("fifth", "第五"),
            ("sixth", "第六"),
            ("seventh", "第七"),
            ("eighth", "第八"),
            ("ninth", "第九"),
            ("tenth", "第十"),
        ),
        start=1,
    )
    for word in words
}
_NUMBER = re.compile(
    r"\s*+(?:(?:rank|place|position|number|no\.?)\s{0,3})?#?(\d{1,6})(?:\ufe0f?\u20e3|st|nd|rd|th|\.|\u540d|\u4f4d)?\s*+",
    re.IGNORECASE,
)
_LONGEST = 40


def place_of(text: str) -> int | None:
    """The place that a whole text names, from 1; None if it names none."""
    word = text[:_LONGEST].strip(" *_.:#").casefold()
    if len(word) == 1 and word in MEDALS:
        return MEDALS.index(word) + 1
    if word in _WORDS:
        return _WORDS[word]
    found = _NUMBER.fullmatch(text)
    return int(found[1]) if found else None
