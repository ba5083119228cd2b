"""Ballots as models of many languages and habits write them, and what only looks like one."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from composite_llm.model.review_labels import ANSWER_WORDS
from composite_llm.strategies.ballots import labels, parse_ballot
from composite_llm.strategies.ballots.lexicon import RANKING_WORDS

THREE = labels(3)


def read(text: str, n: int = 3, *, cut_off: bool = False) -> str:
    ballot = parse_ballot(text, labels(n), cut_off=cut_off)
    return " ".join(label.removeprefix("Response ") for label in ballot.ranking)


def as_json(*entries: object) -> str:
    return json.dumps({"reviews": {}, "ranking": entries}, ensure_ascii=False)


VOTES: dict[str, str] = {
    "letters alone": as_json("C", "A", "B"),
    "dots at the end of the list": '{"reviews": {}, "ranking": ["Response C", "Response A", "Response B", ...]}',
    "dots in the reviews": '{"reviews": {"Response A": "fine", ...}, "ranking": ["Response C", "Response A", "Response B"]}',
    "one character for the dots": '{"reviews": {"A": "fine", …}, "ranking": ["C", "A", "B", …]}',
    "dots first": '{..., "ranking": ["C", "A", "B"]}',
    "comments": '{"ranking": ["C", // the best\n "A", /* then */ "B"]}',
    "Spanish": as_json("Respuesta C", "Respuesta A", "Respuesta B"),
    "French": as_json("Réponse C", "Réponse A", "Réponse B"),
    "German": as_json("Antwort C", "Antwort A", "Antwort B"),
    "Chinese": as_json("回答 C", "回答 A", "回答 B"),
    "Chinese without spaces": as_json("回答C", "回答A", "回答B"),
    "Korean": as_json("답변 C", "답변 A", "답변 B"),
    "Vietnamese": as_json("Câu trả lời C", "Câu trả lời A", "Câu trả lời B"),
    "Arabic": as_json("الإجابة C", "الإجابة A", "الإجابة B"),
    "a language that is not listed": as_json("Ateb C", "Ateb A", "Ateb B"),
    "an underscore": as_json("antwort_C", "antwort_A", "antwort_B"),
    "another English word": as_json("Answer C", "Answer A", "Answer B"),
    "words around": as_json("**Respuesta C**", "1. Respuesta A", "Respuesta B."),
    "a translated key": '{"reseñas": {}, "clasificación": ["Respuesta C", "Respuesta A", "Respuesta B"]}',
    "a translated key, final": '{"Classement final": ["C", "A", "B"]}',
    "a Chinese key": '{"评价": {"A": "好"}, "最终排名": ["回答C", "回答A", "回答B"]}',
    "full-width letters": as_json("Response Ｃ", "Response Ａ", "Response Ｂ"),
    "full-width words": as_json("Ｒｅｓｐｏｎｓｅ　Ｃ".replace("\u3000", " "), "Response Ａ", "Response Ｂ"),
    "full-width JSON": "｛＂ranking＂：［＂Ｃ＂，＂Ａ＂，＂Ｂ＂］｝",
    "letters alone, full-width": as_json("Ｃ", "Ａ", "Ｂ"),
    "Cyrillic letters that look alike": as_json("Ответ С", "Ответ А", "Ответ В"),
    "Cyrillic letters alone": as_json("С", "А", "В"),
    "letters of the Russian alphabet": as_json("Ответ В", "Ответ А", "Ответ Б"),
    "letters of the Greek alphabet": as_json("Απάντηση Γ", "Απάντηση Α", "Απάντηση Β"),
    "smart quotes": "{“reviews”: {“A”: “it’s fine”}, “ranking”: [“Response C”, “Response A”, “Response B”]}",
    "smart and straight quotes": '{“ranking": ["Response C”, “Response A", “Response B”]}',
    "German quotes": "{„ranking“: [„C“, „A“, „B“]}",
    "French quotes": "{« ranking » : [« C », « A », « B »]}",
    "Japanese quotes": "{「ranking」: [「C」、「A」、「B」]}",
    "single smart quotes": "{‘reviews’: {‘A’: ‘it’s fine’}, ‘ranking’: [‘C’, ‘A’, ‘B’]}",
    "YAML": "ranking:\n- Response C\n- Response A\n- Response B",
    "YAML with reviews": "reviews:\n  A: good\n  B: bad\nranking:\n  - C\n  - A\n  - B\n",
    "YAML in a fence": "```yaml\nranking:\n  - Response C\n  - Response A\n  - Response B\n```",
    "YAML in one line": "reviews: {}\nranking: [C, A, B]",
    "YAML with fields": "ranking:\n  - label: Response C\n    score: 9\n  - label: Response A\n    score: 5\n  - label: Response B",
    "YAML with numbers": "ranking:\n  1: Response C\n  2: Response A\n  3: Response B\n",
    "YAML with places": "ranking:\n  Response A: 2\n  Response B: 3\n  Response C: 1\n",
    "medals": "🥇 Response C\n🥈 Response A\n🥉 Response B",
    "medals and letters": "Here you are!\n\n🥇 **C** – precise\n🥈 **A** – good\n🥉 **B** – wrong\n",
    "medals in JSON": '{"ranking": {"🥇": "C", "🥈": "A", "🥉": "B"}}',
    "medals before entries": as_json("🥇 Response C", "🥈 Response A", "🥉 Response B"),
    "keycaps": "Ranking:\n1️⃣ Response C\n2️⃣ Response A\n3️⃣ Response B\n",
    "ordinals in JSON": '{"ranking": {"first": "C", "second": "A", "third": "B"}}',
    "a number for the letter": as_json("Response 3", "Response 1", "Response 2"),
    "a number for the letter, in a section": "FINAL RANKING:\n1. Response 3\n2. Response 1\n3. Response 2\n",
    "a table": "| Rank | Response |\n|---|---|\n| 1 | Response C |\n| 2 | Response A |\n| 3 | Response B |",
    "a table, labels first": "| Response | Rank | Why |\n|:--|:-:|---|\n| A | 2 | ok |\n| B | 3 | no |\n| **C** | 1 | yes |\n",
    "a table of scores": "| Answer | Score |\n|---|---|\n| Response A | 7/10 |\n| Response B | 2/10 |\n| Response C | 9/10 |\n",
    "a table with medals": "| # | Answer |\n|---|---|\n| 🥈 | Response A |\n| 🥇 | Response C |\n| 🥉 | Response B |\n",
    "a Spanish table": "| Puesto | Respuesta |\n|---|---|\n| 1 | Respuesta C |\n| 2 | Respuesta A |\n| 3 | Respuesta B |\n",
    "a list alone": '["C", "A", "B"]',
    "a list alone in a fence": '```json\n["Response C", "Response A", "Response B"]\n```',
    "a chain in another language": "Meine Wertung ist: Antwort C > Antwort A > Antwort B",
    "a chain without spaces": "回答C > 回答A > 回答B",
    "a heading in another language": "CLASIFICACIÓN FINAL:\n1. Respuesta C\n2. Respuesta A\n3. Respuesta B\n",
    "a German heading": "**Endgültige Rangliste:** Antwort C, Antwort A und Antwort B",
    "a Chinese heading": "最终排名：\n1. 回答C\n2. 回答A\n3. 回答B\n",
    "a Japanese heading": "ランキング：C > A > B",
    "a plain heading": "## Ranking\n\n1. C\n2. A\n3. B\n",
    "a tag": "<ranking>\nC\nA\nB\n</ranking>",
    "reviews as objects": '{"reviews": [{"label": "A", "comment": "fine"}], "ranking": ["C", "A", "B"]}',
}


@pytest.mark.parametrize("form", VOTES)
def test_a_vote_counts_in_the_form_of(form: str) -> None:
    assert read(VOTES[form]) == "C A B"


NO_VOTES: dict[str, str] = {
    "numbers alone": as_json(3, 1, 2),
    "numbers as strings": as_json("3", "1", "2"),
    "an order from worst to best": "From worst to best: " + as_json("B", "A", "C"),
    "a key that says worst first": '{"worst_to_best": ["B", "A", "C"]}',
    "words that begin with the letters": as_json("Accurate", "Brief", "Clear"),
    "Cyrillic letters that may be two": '{"ranking": ["Ответ В", "Ответ А"]}',
    "other letters": as_json("Response X", "Response Y", "Response Z"),
    "other things with letters": as_json("Vitamin C", "Vitamin A"),
    "a refusal that quotes the form": (
        'I cannot rank these answers. A reply would look like {"reviews": {}, "ranking": ["Response C", "Response A", '
        '"Response B"]}, but I decline to give one.'
    ),
    "a refusal before JSON": "I'm sorry, but I can't rank these. " + as_json("C", "A", "B"),
    "a refusal after JSON": as_json("C", "A", "B") + "\nActually I must respectfully decline.",
    "a Spanish refusal": "No puedo clasificar estas respuestas: " + as_json("C", "A", "B"),
    "a German refusal": "Ich kann diese Antworten nicht bewerten. " + as_json("C", "A", "B"),
    "a Chinese refusal": "抱歉，我无法对这些回答排名。" + as_json("C", "A", "B"),
    "an example": "The form is, for example: " + as_json("C", "A", "B"),
    "a section as an example": "I decline. It would look like\nFINAL RANKING:\n1. Response C\n2. Response A\n3. Response B\n",
    "a draft": "First draft: " + as_json("C", "A", "B") + " but B may be better, so I am not sure.",
    "a table of something else": "| Answer | Length |\n|---|---|\n| Response C | 9 |\n| Response A | 7 |\n",
    "places that are none": "ranking:\n  Response A: 9\n  Response B: 3\n  Response C: 7\n",
    "dots alone": '{"reviews": {...}, "ranking": [...]}',
    "the form itself": '{"reviews": {"<letter>": "..."}, "ranking": ["<letter>", ...]}',
}


@pytest.mark.parametrize("form", NO_VOTES)
def test_nothing_is_guessed_of(form: str) -> None:
    assert read(NO_VOTES[form]) == ""


@pytest.mark.parametrize(
    "text",
    [
        '{"reviews": {"A": "I cannot judge the last claim."}, "ranking": ["C", "A", "B"]}',
        "I cannot judge the last claim of Response A. " + as_json("C", "A", "B"),
        "I can't help but prefer the third.\n" + as_json("C", "A", "B"),
        "My ranking would be:\n" + as_json("C", "A", "B"),
        "The answers decline in quality: " + as_json("C", "A", "B"),
        "Here is the ranking in the requested format:\n```json\n" + as_json("C", "A", "B") + "\n```",
        "First draft: " + as_json("B", "A", "C") + "\nFinal: " + as_json("C", "A", "B"),
    ],
)
def test_a_vote_with_doubts_is_a_vote(text: str) -> None:
    assert read(text) == "C A B"


def test_tied_rows_of_a_table_keep_their_order() -> None:
    assert read("| Rank | Answer |\n|---|---|\n| 2 | Response A |\n| 1 | Response B |\n| 1 | Response C |\n") == "B C A"


DRAFTS = [
    'First {"ranking": ["Response B", "Response A", "Response C"]}. But wait, Response B has a grave error, so it must be',
    "FINAL RANKING:\n1. Response B\n2. Response A\n3. Response C\nHmm, is Response B really right? Let me check the",
    '```json\n{"ranking": ["B", "A", "C"]}\n```\nOn second thoughts',
    '{"reviews": {"A": "fine"}, "ranking": ["B", "A',
    '{"reviews": {"A": "fine", "B": "not so',
    "🥇 Response B\n🥈 Response A\n🥉 Response C\nThough",
]


@pytest.mark.parametrize("text", DRAFTS)
def test_what_a_token_limit_ended_is_no_vote(text: str) -> None:
    assert read(text, cut_off=True) == ""


@pytest.mark.parametrize(
    "text",
    [
        '{"ranking": ["C", "A", "B"], "reviews": {"A": "It is fine, th',
        '```json\n{"ranking": ["C", "A", "B"], "reviews": {"A": "It is fine, th',
        '{"ranking": ["C", "A", "B"], "reviews": {}}',
        '```json\n{"ranking": ["C", "A", "B"]}\n```',
    ],
)
def test_a_ballot_that_was_complete_before_the_limit_is_one(text: str) -> None:
    assert read(text, cut_off=True) == "C A B"


def test_reviews_keep_the_letters_of_their_own_language() -> None:
    text = '{"reviews": {"Ответ А": "хорошо，да", "Ответ В": "плохо", "Ответ С": "лучше всех"}, "ranking": ["Ответ С", "Ответ А", "Ответ В"]}'
    ballot = parse_ballot(text, THREE)
    assert ballot.reviews == {THREE[0]: "хорошо，да", THREE[1]: "плохо", THREE[2]: "лучше всех"}


REVIEWS: dict[str, str] = {
    "objects": '{"reviews": {"A": {"score": 7, "comment": "fine"}, "B": {"text": "weak"}}, "ranking": ["A", "B"]}',
    "a list": '{"reviews": [{"label": "A", "review": "fine"}, {"response": "B", "critique": "weak"}], "ranking": ["A"]}',
    "a list of one key each": '{"reviews": [{"A": "fine"}, {"B": "weak"}], "ranking": ["A"]}',
    "lines": "Response A: fine\nResponse B: weak\n\nFINAL RANKING:\n1. A\n2. B\n",
    "bullets": "- **Response A**: fine\n- **Response B** — weak\n\nFINAL RANKING: A > B\n",
    "headings": "### Response A\n\nfine\n\n### Response B\n\nweak\n\n## Final ranking\nA > B\n",
    "YAML": "reviews:\n  Response A: fine\n  Response B: weak\nranking:\n  - A\n  - B\n",
    "another language": "**Antwort A:** fine\n**Antwort B:** weak\n\nFINAL RANKING:\n1. Antwort A\n2. Antwort B\n",
}


@pytest.mark.parametrize("form", REVIEWS)
def test_reviews_are_told_apart_in(form: str) -> None:
    assert parse_ballot(REVIEWS[form], THREE).reviews == {THREE[0]: "fine", THREE[1]: "weak"}


@pytest.mark.parametrize(
    "text", ["A good answer.\nB is not.", "Both are fine. Response A and Response B agree.", "Response A is right", ""]
)
def test_prose_that_does_not_go_through_the_answers_is_no_review_of_one(text: str) -> None:
    assert parse_ballot(text, THREE).reviews == {}


def test_several_lines_and_parts_of_a_review_stay_together() -> None:
    text = "## Response A\nGood start.\n\nWeak end.\n## Response B\n- wrong\n- slow\n## Response A\nAnd short.\n"
    assert parse_ballot(text, THREE).reviews == {
        THREE[0]: "Good start.\nWeak end.\nAnd short.",
        THREE[1]: "- wrong\n- slow",
    }


# --- properties ------------------------------------------------------------------------------------------------------

WORDS = st.sampled_from([*ANSWER_WORDS, "Response", "Ateb", "Javob"])
Write = Callable[[str, Sequence[str]], str]


def _with(word: str, letters: Sequence[str]) -> list[str]:
    return [f"{word.capitalize()} {letter}" for letter in letters]


WRITTEN: dict[str, Write] = {
    "JSON": lambda word, letters: as_json(*_with(word, letters)),
    "JSON, dots": lambda word, letters: as_json(*_with(word, letters)).replace("]", ", ...]"),
    "JSON, full-width": lambda word, letters: as_json(*_with(word, [chr(ord(x) + 0xFEE0) for x in letters])),
    "YAML": lambda word, letters: "ranking:\n" + "\n".join(f"- {x}" for x in letters) + "\n",
    "table": lambda word, letters: (
        "| Rank | Answer |\n|---|---|\n" + "\n".join(f"| {at} | Response {x} |" for at, x in enumerate(letters, 1))
    ),
}


@pytest.mark.parametrize("form", WRITTEN)
@given(word=WORDS, letters=st.integers(2, 26).flatmap(lambda n: st.permutations([x[-1] for x in labels(n)])))
@settings(max_examples=40)
def test_every_permutation_is_read_as_it_was_written(form: str, word: str, letters: list[str]) -> None:
    ballot = parse_ballot(WRITTEN[form](word, letters), labels(len(letters)))
    assert [label[-1] for label in ballot.ranking] == letters
    assert ballot.problems == ()


@given(st.permutations("АБВГД"), st.permutations("АВСЕН"), st.integers(1, 5))
def test_letters_of_other_scripts_are_never_read_wrong(russian: list[str], twins: list[str], n: int) -> None:
    """Of any part of a ballot in one reading, nothing comes out that the reading does not say."""
    by_place = dict(zip("АБВГД", "ABCDE", strict=True))
    got = read(as_json(*(f"Ответ {x}" for x in russian[:n])), 5).split()
    assert got in ([], [by_place[x] for x in russian[:n]])
    alike = dict(zip("АВСЕН", "ABCEH", strict=True))
    got = read(as_json(*(f"Ответ {x}" for x in twins[:n])), 8).split()
    assert got in ([], [alike[x] for x in twins[:n]])


PIECES = st.sampled_from(
    [
        *(
            "Response A",
            "Respuesta B",
            "回答C",
            "Ответ А",
            "В",
            "Ｃ",
            "🥇",
            "🥈",
            "1️⃣",
            "| ",
            "|---|---|\n",
            "\n",
            "- ",
            "1. ",
        ),
        *(
            "ranking:",
            "Ranking",
            "最终排名：",
            "{",
            "}",
            "[",
            "]",
            "“",
            "”",
            '"',
            "'",
            "«",
            "»",
            "...",
            "…",
            "//",
            "/*",
            "*/",
        ),
        *(
            ", ",
            ": ",
            ">",
            "I cannot rank these. ",
            "I decline",
            "for example ",
            "worst to best",
            "```",
            "yaml",
            "\ud800",
            "reviews",
        ),
    ]
)


@given(st.lists(PIECES, max_size=80).map("".join), st.integers(0, 30), st.booleans())
@settings(max_examples=400)
def test_nothing_is_raised_or_invented(text: str, n: int, cut_off: bool) -> None:
    known = labels(n)
    ballot = parse_ballot(text, known, cut_off=cut_off)
    assert set(ballot.ranking) <= set(known)
    assert len(set(ballot.ranking)) == len(ballot.ranking)
    assert set(ballot.reviews) <= set(known)
    assert ballot.abstained is (not ballot.ranking) is (ballot.form == "none")
    json.dumps([ballot.reviews, ballot.problems], ensure_ascii=False).encode()


UNITS = [
    *(
        "| A | 1 |\n",
        "|---|\n",
        "|",
        "🥇 A\n",
        "ranking:\n",
        "Ranking: ",
        "Antwort A > ",
        "回答A",
        "А\n",
        "“",
        "«",
        "/*",
        "//",
    ),
    *(
        "...",
        "I cannot ",
        "I cannot rank ",
        "ich kann ",
        "无法",
        "for example ",
        "Response A: x\n",
        "# Response A\n",
        "1️⃣ ",
    ),
    *("final ranking ", "Final ", "{“", "{...", "ranking: 1\n", "A: 1\n", "label: ", " e ", "Response 1 ", "第1名 "),
]


@pytest.mark.parametrize("unit", UNITS)
def test_the_time_is_linear_in_the_text(unit: str) -> None:
    def seconds(length: int) -> float:
        text = unit * (length // len(unit))
        began = time.process_time()
        parse_ballot(text, THREE)
        parse_ballot("FINAL RANKING:\n" + text, THREE)
        parse_ballot('{"ranking": ["' + text, THREE)
        return time.process_time() - began

    seconds(1_000)
    assert seconds(80_000) < 40 * seconds(8_000) + 1.0


def test_the_words_are_lower_case_as_they_are_compared() -> None:
    assert all(word == word.casefold() for word in (*ANSWER_WORDS, *RANKING_WORDS))
