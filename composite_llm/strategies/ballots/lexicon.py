"""The words that ballots are read by: labels and what they are called, headings and numbers, in many languages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from composite_llm.strategies.ballots.text import Span

RANKING_WORDS: tuple[str, ...] = (
    *("ranking", "rankings", "rank order", "ranked order"),
    *(
        "clasificación",
        "clasificacion",
        "classement",
        "rangliste",
        "rangfolge",
        "reihenfolge",
        "classifica",
        "graduatoria",
    ),
    *("classificação", "classificacao", "rangschikking", "rangordning", "rangering", "sijoitus", "ranking końcowy"),
    *(
        "klasyfikacja",
        "pořadí",
        "poradie",
        "rangsor",
        "clasament",
        "clasamentul",
        "sıralama",
        "рейтинг",
        "ранжирование",
    ),
    *("рейтинґ", "класиране", "κατάταξη", "peringkat", "xếp hạng", "الترتيب", "التصنيف", "رتبه", "דירוג", "रैंकिंग"),
    *("排名", "排序", "排行", "名次", "順位", "ランキング", "順番", "순위", "랭킹"),
)
"""What a heading or a key may be called."""

FINAL_WORDS: tuple[str, ...] = (
    *(
        "final",
        "finale",
        "finaler",
        "finales",
        "endgültige",
        "endgültiges",
        "abschließende",
        "definitivo",
        "definitiva",
    ),
    *("końcowa", "konečné", "végső", "finală", "nihai", "итоговый", "окончательный", "финальный", "τελική", "akhir"),
    *("最终", "最終", "最后", "최종", "cuối cùng", "النهائي"),
)


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


_WORD = re.compile(r"[^\W_]{1,64}+")
# After a short label: the end, or punctuation that is no apostrophe, slash or hyphen inside a word ("A's", "A/B").
_AFTER_SHORT = re.compile(r"[ \t]*+(?:$|(?!['\u2019/&\s-])[\W_]|-(?![^\W_]))")
_LOOKS_LIKE_TOKEN = re.compile(r"[A-Z]{1,3}|\d{1,3}")


def labels(n: int) -> tuple[str, ...]:
    """The first n labels: "Response A" to "Response Z", then "Response AA" and so on, as spreadsheets name columns.

    Args:
        n: How many; zero or less gives none.

    Returns:
        n distinct labels in order.
    """
    return tuple(f"Response {_column(number)}" for number in range(1, n + 1))


def _column(number: int) -> str:
    name = ""
    while number:
        number, letter = divmod(number - 1, 26)
        name = chr(ord("A") + letter) + name
    return name


@dataclass(frozen=True, slots=True)
class Mention:
    """A label in a text, or something of a label's shape.

    Attributes:
        label: The label meant; None when no candidate has it.
        name: As the text has it.
        rest: What follows in the line or piece.
        short: Whether it is the label's last word alone.
    """

    label: str | None
    name: str
    rest: Span
    short: bool = False


class Lexicon:
    """The known labels and how they may be written.

    Args:
        labels: As the reviewer was shown them.
        stems: Words that may stand for all but a label's last word; without any, only the labels' own.
    """

    def __init__(self, labels: Sequence[str], stems: Iterable[str] = ()) -> None:
        self.labels = tuple(dict.fromkeys(labels))
        self.stems = tuple(stems)
        self._full = {_normal(label): label for label in self.labels}
        self._short = _short_forms(self.labels)
        self._numbers = _numbers(self.labels) if self.stems else {}
        self._pattern = _full_pattern(self.labels, self.stems)

    def with_stems(self, stems: Iterable[str]) -> Lexicon:
        """The same labels, which may be written with these words too."""
        return Lexicon(self.labels, dict.fromkeys((*self.stems, *stems)))

    def at(self, span: Span) -> Mention | None:
        """The label that the span begins with, if any; an unknown one has no label but a name."""
        if full := span.match(self._pattern):
            return self._mention(full, span)
        word = span.match(_WORD)
        if word and (label := self._short.get(word[0].casefold())) and span.after(word).match(_AFTER_SHORT):
            return Mention(label, word[0], span.after(word), short=True)
        return None

    def full_in(self, span: Span) -> Iterator[Mention]:
        """The known labels that stand in full anywhere in the span."""
        for full in span.each(self._pattern):
            mention = self._mention(full, span)
            if mention and mention.label:
                yield mention

    def _mention(self, full: re.Match[str], span: Span) -> Mention | None:
        stem, token = full["stem"] or full["unspaced"], full["token"] or full["letter"]
        label = self._full.get(_normal(f"{stem} {token}"))
        if label is None and stem.casefold() in self.stems and token.isupper():
            label = self._short.get(token.casefold())
        label = label or self._numbers.get(token)
        if label is None and not _LOOKS_LIKE_TOKEN.fullmatch(token):
            return None
        return Mention(label, full[0], span.after(full))

    def named(self, text: str) -> str | None:
        """The label that a whole string names exactly, apart from case and spacing."""
        key = _normal(text)
        return self._full.get(key) or self._short.get(key)

    def may_be_cut(self, mention: Mention, taken: Sequence[str]) -> bool:
        """Whether a mention ends the text and could be the beginning of another label not yet taken."""
        if mention.rest.start < len(mention.rest.text):
            return False
        key = _normal(mention.name)
        others = [other for other in self.labels if other != mention.label and other not in taken]
        return any(_normal(form).startswith(key) for other in others for form in (other, *other.split()[-1:]))


def _normal(text: str) -> str:
    return " ".join(text.replace("_", " ").split()).casefold()


def _short_forms(labels: Sequence[str]) -> dict[str, str]:
    """Last word -> label, for the last words that only one label has."""
    lasts = [(label.split() or [""])[-1].casefold() for label in labels]
    return {last: label for last, label in zip(lasts, labels, strict=True) if lasts.count(last) == 1}


def _numbers(labels: Sequence[str]) -> dict[str, str]:
    """Where all labels end in letters, a number in the letter's place is the label's place."""
    tokens = [(label.split() or [""])[-1] for label in labels]
    return {str(at): label for at, label in enumerate(labels, 1)} if all(map(str.isalpha, tokens)) else {}


def _full_pattern(labels: Sequence[str], further: Sequence[str]) -> re.Pattern[str]:
    """All but the last word of any label, then a word that may make it one of the labels."""
    stems = {" ".join(label.split()[:-1]) for label in labels} - {""} | set(further)
    spaced = _either(stem for stem in stems if not _WRITTEN_TOGETHER.fullmatch(stem))
    together = _either(stem for stem in stems if _WRITTEN_TOGETHER.fullmatch(stem))
    pattern = (
        rf"(?<![^\W_])(?P<stem>{spaced})[ \t\xa0_]{{1,4}}(?P<token>[^\W_]{{1,64}}+)"
        # Scripts without spaces: the word may stand within a sentence, and the letter right behind it.
        rf"|(?P<unspaced>{together})[ \t\xa0_]{{0,4}}(?P<letter>[A-Za-z]{{1,3}}(?![A-Za-z0-9])|\d{{1,3}}(?!\d))"
    )
    return re.compile(pattern, re.IGNORECASE)


_WRITTEN_TOGETHER = re.compile(r"[\u2e80-\u9fff\uac00-\ud7af]+")


def _either(stems: Iterable[str]) -> str:
    longest_first = sorted(stems, key=lambda stem: (-len(stem), stem))
    return "|".join(re.escape(stem).replace(r"\ ", r"[ \t]{1,4}") for stem in longest_first) or r"(?!)"
