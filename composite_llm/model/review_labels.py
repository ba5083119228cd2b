"""Reviews, as people and other models may read them: whose answer a reviewer's own labels mean. Pure.

Every reviewer sees the answers under labels of its own, "Response A", "Response B" and so on, so a review says nothing
right until they are translated.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from composite_llm.model.trace import Call

LABEL_WORD = "Response"
ANSWER_WORDS: tuple[str, ...] = (
    *("answer", "reply", "candidate"),
    *("respuesta", "réponse", "reponse", "antwort", "risposta", "resposta", "antwoord", "svar", "vastaus"),
    *("odpowiedź", "odpowiedz", "odpověď", "odpoveď", "válasz", "răspuns", "răspunsul", "cevap", "yanıt", "odgovor"),
    *("ответ", "відповідь", "отговор", "απάντηση", "jawaban", "respons", "tanggapan", "trả lời", "câu trả lời"),
    *("phản hồi", "الرد", "الإجابة", "إجابة", "الاستجابة", "پاسخ", "תשובה", "उत्तर", "जवाब", "คำตอบ"),
    *("回答", "答案", "回复", "回應", "回应", "回覆", "答复", "响应", "応答", "返答", "답변", "응답", "대답"),
)
"""In lower case, as they stand before a letter."""

# One letter or more behind the word: "Response C", "Responses A and C", "Response A/B", "Response C's".
_AND = r"(?:\s*(?:,|/|&)\s*(?:and\s+|or\s+)?|\s+(?:and|or|und|oder|et|ou|y|o|e|vs\.?)\s+)"
_LETTERS = rf"(?P<letters>[A-Z]{{1,3}}(?:{_AND}(?:{LABEL_WORD}\s+)?[A-Z]{{1,3}}(?![\w]))*)(?![\w])"
_OWN = re.compile(rf"(?<!\w)[Rr]{LABEL_WORD[1:]}s?[ \t\xa0_]+{_LETTERS}")
_LETTER = re.compile(rf"(?:{LABEL_WORD}\s+)?(?<![A-Za-z])([A-Z]{{1,3}})(?![A-Za-z])")
_FOREIGN = tuple(word for word in ANSWER_WORDS if word not in ("answer", "reply", "candidate"))
_OTHER = re.compile(
    rf"(?<!\w)(?P<word>{'|'.join(sorted(map(re.escape, _FOREIGN), key=len, reverse=True))})[ \t\xa0_]{{0,4}}"
    r"(?P<letters>(?-i:[A-Z]{1,3}))(?!\w)",
    re.IGNORECASE,
)


def by_author(text: str, labels: Mapping[str, str]) -> str:
    """The text with authors' names in the place of a reviewer's labels.

    Args:
        text: A reviewer's.
        labels: Its labels, and whose answers they are.
    """
    return _translated(text, labels, lambda name: name)


def relabelled(text: str, labels: Mapping[str, str]) -> str:
    """The text with other labels in the place of a reviewer's own; both are the label's word and a letter."""
    return _translated(text, labels, lambda label: label)


def _translated(text: str, labels: Mapping[str, str], shown: Callable[[str], str]) -> str:
    # Letters alone are left as they are: "C" may be the language, and "A good answer" begins with no label.
    of_letter = {label.split()[-1]: shown(meant) for label, meant in labels.items() if label.split()}

    def in_place(match: re.Match[str]) -> str:
        letters = _LETTER.findall(match["letters"])
        if not all(letter in of_letter for letter in letters):
            return match.group()
        return _LETTER.sub(lambda letter: of_letter[letter[1]], match["letters"])

    text = _OWN.sub(in_place, text)
    if len({match["letters"] for match in _OTHER.finditer(text)} & set(of_letter)) > 1:
        # A word of another language counts where it stands before several of the labels.
        text = _OTHER.sub(in_place, text)
    return text


def readable(call: Call) -> str | None:
    """A call's text for people: a review says by name whose answer each part is about; anything else as it is."""
    if call.critiques:
        return "\n".join(f"On {name}: {critique}" for name, critique in call.critiques.items())
    return by_author(call.content, call.labels) if call.content and call.labels else call.content
