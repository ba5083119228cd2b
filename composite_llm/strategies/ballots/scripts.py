"""Letters of labels as other keyboards and languages write them: full-width, Cyrillic, Greek. Every length stays."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

# Full-width forms stand 0xFEE0 above ASCII's. Punctuation that only reviews hold keeps its form.
_WIDE = "".join(chr(code) for code in (*range(0x30, 0x3A), *range(0x41, 0x5B), *range(0x61, 0x7B))) + '"#>=[]{}|'
_PLAIN = {ord(char) + 0xFEE0: char for char in _WIDE}

_CYRILLIC = "АБВГДЕЖЗИКЛМНОПРСТУФХЦЧШЩЭЮЯ"
_GREEK = "ΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩ"
_TWINS = dict(zip("АВСЕНКМОРТХУЅІЈΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "ABCEHKMOPTXYSIJABEZHIKMNOPTYX", strict=True))
"""Letters that look like Latin ones, by their own code."""

# A letter alone, as the last word of a label: behind it a quote, a bracket, a separator or the end of the line.
_LABEL_LETTER = re.compile(
    rf"(?<![^\W\d_])[{_CYRILLIC}{_GREEK}ЅІЈ](?=[\"'\u201d\u2019\u00bb\u300d\u300f*_ \t]{{0,4}}(?:[\],>=:)}}|.]|\r|\n|$))"
)
_MOST = 2_000


def with_latin_letters(text: str, labels: Sequence[str]) -> str:
    """The text with the letters of labels in Latin ones, where it is certain which they are.

    "Ответ С" has a letter that looks like C; "Ответ В" may be B, which it looks like, or C, the third of its alphabet. So
    all such letters of the text are looked at together, and where two readings differ they stay as they are.
    """
    text = text.translate(_PLAIN)
    places = [found.start() for found, _ in zip(_LABEL_LETTER.finditer(text), range(_MOST), strict=False)]
    if not places:
        return text
    known = [label.split()[-1] for label in labels if label.split()]
    meant = _meant({text[place] for place in places}, known)
    if not meant:
        return text
    pieces, start = [], 0
    for place in places:
        pieces += [text[start:place], meant[text[place]]]
        start = place + 1
    return "".join([*pieces, text[start:]])


def _meant(letters: set[str], known: Sequence[str]) -> Mapping[str, str]:
    """What the letters stand for; nothing where no reading fits all of them, or two do and differ."""
    readings = [
        {letter: _TWINS.get(letter, "") for letter in letters},
        *({letter: _by_place(letter, alphabet, known) for letter in letters} for alphabet in (_CYRILLIC, _GREEK)),
    ]
    fitting = [reading for reading in readings if _fits(reading, known)]
    return fitting[0] if fitting and all(reading == fitting[0] for reading in fitting) else {}


def _by_place(letter: str, alphabet: str, known: Sequence[str]) -> str:
    place = alphabet.find(letter)
    return known[place] if 0 <= place < len(known) else ""


def _fits(reading: Mapping[str, str], known: Sequence[str]) -> bool:
    return set(reading.values()) <= set(known) and len(set(reading.values())) == len(reading)
