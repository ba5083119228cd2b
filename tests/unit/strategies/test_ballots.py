"""Reading ballots: every accepted form, every trap, and the properties that keep a vote from being invented."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from composite_llm.strategies.ballots import Ballot, candidates_of, labels, parse_ballot

FOUR = labels(4)
A, B, C, D = FOUR


def read(text: str | None, n: int = 4) -> str:
    """The ranking's short labels."""
    return " ".join(label.removeprefix("Response ") for label in parse_ballot(text, labels(n)).ranking)


def fenced(body: str, language: str = "json") -> str:
    return f"```{language}\n{body}\n```"


def ranking_json(ranking: Sequence[Any], **more: Any) -> str:
    return json.dumps({"ranking": list(ranking), **more})


def test_labels() -> None:
    assert labels(3) == ("Response A", "Response B", "Response C")
    assert labels(0) == labels(-1) == ()
    many = labels(26 + 26 * 26 + 1)
    assert many[25:28] == ("Response Z", "Response AA", "Response AB")
    assert many[-1] == "Response AAA"
    assert len(set(many)) == len(many)


def test_complete_ballot() -> None:
    text = (
        "My verdict:\n"
        + fenced(ranking_json([C, A, D, B], reviews={A: "fine", "b": "weak", "Z": "?", C: 3}))
        + "\nBye."
    )
    assert parse_ballot(text, FOUR) == Ballot((C, A, D, B), {A: "fine", B: "weak"}, False, "json", ())


def test_candidates_of() -> None:
    ballot = parse_ballot(ranking_json([C, A, B]), FOUR)
    assert candidates_of(ballot, {A: "gpt", C: "claude"}) == ("claude", "gpt")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (["Response C", "A", "response b", " RESPONSE  D "], "C A B D"),
        (["**Response C**", "2. Response A", "b.", "Response_D"], "C A B D"),
        ([{"label": "C"}, {"response": "Response A"}, {"label": "n/a", "id": "B"}, {"Response D": "bad"}], "C A B D"),
        ([["C", "A"], [["B"]], None, "D"], "C A B D"),
        (["Response C = Response A", "B and D"], "C A B D"),
        (["Response C because it beats Response A", "A: better than B, D"], "C A"),
        ([{"label": "A", "rank": 2}, {"label": "C", "rank": "1st"}, {"label": "B", "position": 3}], "C A B"),
        ([{"label": "A", "rank": 2}, {"label": "C"}], "A C"),
        ([{"label": "A", "rank": 90}, {"label": "C", "rank": 80}], "A C"),
        ([{"C": 1}, {"A": 2}], "C A"),
        ({"Response A": 2, "B": 3, "Response C": 1}, "C A B"),
        ({"Response A": "2", "B": "#3", "Response C": "1st", "D": "unsure"}, "C A B"),
        ({"1": "Response C", "2": "A", "note": "none"}, "C A"),
        ({"A": 9.5, "B": 7}, ""),
        ("Response C > Response A > B = D", "C A B D"),
        ("C, A, B", "C A B"),
        ("nobody", ""),
        ([], ""),
        ([1, True, "Response Q", "", {"score": "high", "why": "x"}], ""),
        (None, ""),
        (7, ""),
    ],
)
def test_json_values(value: object, expected: str) -> None:
    assert read(json.dumps({"ranking": value})) == expected


@pytest.mark.parametrize("key", ["ranking", "Ranking", "final_ranking", "Final Ranking"])
def test_json_keys(key: str) -> None:
    assert read(json.dumps({key: ["C", "A"]})) == "C A"
    assert read(json.dumps({"result": {key: ["C", "A"]}})) == "C A"


def test_scores() -> None:
    scores = {"Response A": 9, "B": "7/10", "C": "N/A", "D": "9,5", "E": 1, "note": None}
    ballot = parse_ballot(json.dumps({"ranking": None, "scores": scores}), FOUR)
    assert ballot.ranking == (D, A, B)
    assert ballot.problems == (
        "unknown label 'E' dropped",
        "unknown label 'note' dropped",
        "1 of 4 candidates unranked",
    )
    assert read(json.dumps({"ranking": ["B"], "scores": scores})) == "B"
    assert read('{"scores": {"A": 7, "B": 9}') == "B A"
    assert read('{"scores": {"A": 7, "B": 9') == ""
    tied = parse_ballot('{"scores": {"B": "85%", "A": "85 points", "C": NaN}}', FOUR)
    assert tied.ranking == (B, A)
    assert "tied scores read in the order given" in tied.problems


def test_tied_ranks_are_reported() -> None:
    ballot = parse_ballot('{"ranking": {"B": 1, "A": 1, "C": 3}}', labels(3))
    assert ballot.ranking == (B, A, C)
    assert ballot.problems == ("tied ranks read in the order given",)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (fenced(ranking_json("AB")) + "\nOn reflection:\n" + fenced(ranking_json("BA"), ""), "B A"),
        (fenced(ranking_json("AB")) + "\n" + fenced('{"ranking": []}'), "A B"),
        (fenced(ranking_json("AB")) + "\nnot " + ranking_json("BA"), "A B"),
        (fenced("print(1)", "python") + "\n" + fenced(ranking_json("BA")), "B A"),
        ("```json\r\n" + ranking_json("BA") + "\r\n```\r\n", "B A"),
        ("```json " + ranking_json("BA") + "```", "B A"),
        ("```json\n" + ranking_json("BA"), "B A"),
        ("```\nold\n```json\n" + ranking_json("BA") + "\n```", "B A"),
        ("So {this} is {\"odd\": } and {'a' b}: " + ranking_json("CAB") + " Done.", "C A B"),
        ('{"hello} said I. ' + ranking_json("CAB"), "C A B"),
        (ranking_json("AB") + " or rather " + ranking_json("BA"), "B A"),
        (ranking_json("AB") + ' or rather {"ranking": ["B", "A', "A B"),
        ('{"ranking": ["C", "A",],}', "C A"),
        ('{"ranking": ["C" "A"]}', "C A"),
        ("{'ranking': ['Response C', 'A'], 'reviews': {'A': 'it\\'s'}}", "C A"),
        ("{ranking: [Response C, A, None, true, 7]}", "C A"),
        ('{"ranking": ["Response\\u0020C", "A\\x"]}', "C A"),
        ('{"ranking": ["Response C", "Response A", ...]}', "C A"),
        ('{"ranking": ' + "[" * 99 + '"A"' + "]" * 99 + "}", ""),
        ('{"a": ' * 9 + ranking_json("CA"), "C A"),
        ('{"ranking": ["C"], "ranking": ["A", "C"]}', "A C"),
    ],
)
def test_json_places(text: str, expected: str) -> None:
    assert read(text) == expected


def test_unescaped_quotes_after_the_ranking() -> None:
    ballot = parse_ballot('{"ranking": ["C", "A"], "reviews": {"B": "ok", "A": "a "hi" there"}}', FOUR)
    assert ballot.ranking == (C, A)
    assert ballot.reviews[B] == "ok"
    assert "invalid JSON after the ranking" in ballot.problems


def test_reviews_survive_a_ranking_elsewhere() -> None:
    text = '{"reviews": {"A": "1. Response D", "B": "bad \\ud800"}}\nFINAL RANKING: C > A'
    ballot = parse_ballot(text, FOUR)
    assert (ballot.ranking, ballot.form) == ((C, A), "final_ranking")
    assert ballot.reviews == {A: "1. Response D", B: "bad \ufffd"}


def test_reviews_are_not_read_as_prose() -> None:
    ballot = parse_ballot('{"reviews": {"A": "Response A > Response B"}}', FOUR)
    assert ballot.abstained
    assert ballot.reviews


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Well.\n\nFINAL RANKING:\n1. Response C\n2. Response A\n3. Response B\n4. Response D", "C A B D"),
        ("**Final Ranking**\n\n- **Response C**\n- Response A.\n\nThanks!\n- Response B", "C A"),
        ("## final ranking\n1) C\n2) **A** (good)\n3) B - fine\n4) D: bad", "C A B D"),
        ("__FINAL RANKING\uff1a__\n**1. Response C**\n   It is better than Response D.\n**2. Response A**", "C A"),
        ("FINAL RANKING: Response C > Response A > B", "C A B"),
        ("FINAL RANKING: **Response C** (best) > A = B > Response D because of\nits tone", "C A B D"),
        ("FINAL RANKING: Response C, Response A, and Response B", "C A B"),
        ("FINAL RANKING: Response C, Response A and Response B", "C A B"),
        ("FINAL RANKING:\nC\nA\nB\nThat is my order.\nD", "C A B"),
        ("Final ranking (best to worst):\n#1 Response C\n#2 Response A", "C A"),
        ("Final ranking, from best to worst:\nRank 1: C\nRank 2: A", "C A"),
        ("My final ranking: 1. Response C\n2. Response A", "C A"),
        ("FINAL RANKING:\n1. A\n2. B\n\nI changed my mind. FINAL RANKING:\n1. B\n2. A", "B A"),
        ("FINAL RANKING:\n1. A\n2. B\n\nFINAL RANKING:\nas above", "A B"),
        ("FINAL RANKING:\nFrom best to worst, with reasons.\n1. Response C\n2. Response A", "C A"),
        ("FINAL RANKING:\n" + "Words.\n" * 20 + "1. Response C\n2. Response A", ""),
        ("FINAL RANKING:\n1. C\n2. A\n\nWeaknesses:\n1. D\n2. B", "C A"),
        ("FINAL RANKING:\n1. C\n1. A\n1. B", "C A B"),
        ("FINAL RANKING:\n4. D\n3. B\n2. A\n1. C", "C A B D"),
        ("FINAL RANKING:\n4. D\n3. B", ""),
        ("FINAL RANKING:\n3. C\n4. A", ""),
        ("FINAL RANKING (worst to best):\n1. D\n2. B\n3. A\n4. C", "C A B D"),
        ("FINAL RANKING (worst to best):\n1. D\n2. B", ""),
        (
            "FINAL RANKING:\n1. The winner is Response C.\n2. Next, Response A.\n3. Response D, unlike Response B",
            "C A D",
        ),
        ("FINAL RANKING:\n1. A good answer\n2. Response B is 3.5 stars\n3. Neither Response C nor Response D", "B"),
        ("FINAL RANKING:\n- A good answer\n- Response B", "B"),
        ("FINAL RANKING:\n- A/B tests\n- A-one\n- B's tone\n- D\u2019s\n- C \u2013 best", "C"),
        ("| FINAL RANKING | |\n|---|---|\n| 1 | Response C |\n| 2 | Response A |", "C A"),
        ("FINAL RANKING:\n1. Response C\n2. Response Q\n3. Response A", "C A"),
        ("The final ranking depends.\n1. Response C\n2. Response A", "C A"),
        ("I can't rank them fully.\nFINAL RANKING: Response B", "B"),
        ("FINAL RANKING: none", ""),
    ],
)
def test_final_ranking(text: str, expected: str) -> None:
    # A line end keeps a last short label from looking cut off.
    assert read(text + "\n") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I compared them.\n1. Response C is best\n2. Response A\n3. **Response B**", "C A B"),
        ("So Response C > Response A > B, clearly.", "C A B"),
        ("So Response C > Response A > B is my order.", "C A"),
        ("Response C = Response A", ""),
        ("Response C >= Response A = Response B > D", "C A B D"),
        ("So **Response C** > Response A > Response B, clearly.", "C A B"),
        ("Response C &gt; Response A", "C A"),
        ("Response C > Response A on tone.\nIn all, Response B > Response C > Response A.", "B C A"),
        ("Points:\n1. clarity\n2. depth\n\nOrder:\n1. Response D\n2. Response B", "D B"),
        ("Response A is good. Response B is not. A good answer: Response C.", ""),
        ("1. Response A is the only one I read", ""),
        ("- Response A\n- Response B", ""),
        ("1. A\n2. B\n3. C", ""),
        ("a > b and x > y", ""),
        ("C > A > B", ""),
        ("From worst to best:\n1. Response A\n2. Response B", ""),
        ("1. Response A is fine\n2. Response B is poor\n\nFINAL RANKING:\n1. Resp", ""),
        ("Response A > nothing > Response B > Response C", "B C"),
    ],
)
def test_mentions(text: str, expected: str) -> None:
    ballot = parse_ballot(text, FOUR)
    assert read(text) == expected
    assert ballot.form == ("mentions" if expected else "none")
    assert ballot.abstained is not bool(expected)


@pytest.mark.parametrize(
    "text",
    [
        "I can't rank these answers.",
        "I can\u2019t really compare these.",
        "I cannot evaluate other models.\n1. Response A\n2. Response B",
        "As an AI, I have no opinions.",
        "As a large language model I do not vote.",
        "I'm unable to do so. Response A > Response B would be unfair.",
        "I must decline.",
        "I couldn't possibly choose.",
    ],
)
def test_refusals(text: str) -> None:
    ballot = parse_ballot(text, FOUR)
    assert ballot.abstained
    assert ballot.problems == ("refused to rank",)


def test_why_nothing() -> None:
    assert parse_ballot(None, FOUR) == Ballot((), {}, True, "none", ("blank text",))
    assert parse_ballot(" \n", FOUR).problems == ("blank text",)
    assert parse_ballot("Hm.", FOUR).problems == ("no ranking found",)
    assert parse_ballot('{"rank', FOUR).problems == ("no ranking found", "text cut off")


def test_problems() -> None:
    ballot = parse_ballot(ranking_json(["C", "Response Q", "C", 5, {"x": 1, "y": 2}, "z" * 99]), FOUR)
    assert ballot.problems == (
        "unknown label 'Response Q' dropped",
        "duplicate Response C dropped",
        "unknown label '5' dropped",
        "unknown label '{x, y}' dropped",
        f"unknown label '{'z' * 39}…' dropped",
        "3 of 4 candidates unranked",
    )
    assert len(parse_ballot(ranking_json([f"Q{at}" for at in range(500)]), FOUR).problems) < 20
    assert "unknown label '\ufffd' dropped" in parse_ballot('{"ranking": ["\ud800"]}', FOUR).problems
    assert "rank numbers out of range" in parse_ballot('{"ranking": {"A": 1.5}}', FOUR).problems


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"ranking": ["Response C", "Respo', "C"),
        ('{"ranking": ["Response C", "Response A', "C"),
        ('{"ranking": ["Response C", "Response A"', "C A"),
        ('{"ranking": {"A": 2, "B": 3', ""),
        ('{"ranking": {"B": 1, "A": 2, "D": 4, "C": ', "B A"),
        ('{"ranking": [{"label": "A", "rank": 2}, {"label": "B"', ""),
        ('{"ranking": [{"label": "B", "rank": 1}, {"label": "A"', "B"),
        ("FINAL RANKING:\n1. Response C\n2. Response A", "C"),
        ("FINAL RANKING:\n1. Response C\n2. Response AB", "C AB"),
        ("FINAL RANKING:\n1. Response C\n2. R", "C"),
        ("FINAL RANKING:\n1. Response C\n2. **Response A**", "C A"),
        ("FINAL RANKING: Response C > Response B > Respon", "C B"),
        ("FINAL RANKING: Response C, Response AB, Respon", "C AB"),
        ("I say Response C > Response AB > Response A", "C AB"),
    ],
)
def test_cut_off(text: str, expected: str) -> None:
    ballot = parse_ballot(text, labels(28 + 10))
    assert read(text, 38) == expected
    if text.startswith("{"):
        assert "text cut off" in ballot.problems


def test_a_cut_label_is_reported() -> None:
    assert "text cut off" in parse_ballot("FINAL RANKING: B > A", labels(30)).problems
    assert parse_ballot("FINAL RANKING: Response A", labels(30)).problems == ("no ranking found", "text cut off")
    assert parse_ballot("FINAL RANKING: B > A", labels(2)).problems == ()


@pytest.mark.parametrize(
    "given_labels", [(), ("A", "B"), ("", "Response A"), ("Answer One", "Reply One"), ("X 1", "X 1")]
)
def test_unusual_labels(given_labels: tuple[str, ...]) -> None:
    for text in ("", '{"ranking": ["A", "One", "X 1", ""]}', "FINAL RANKING: X 1 > Answer One > A", "1. A"):
        ballot = parse_ballot(text, given_labels)
        assert set(ballot.ranking) <= set(given_labels)
    assert parse_ballot('{"ranking": ["One", "reply one"]}', ("Answer One", "Reply One")).ranking == ("Reply One",)


# --- Properties ------------------------------------------------------------------------------------------------------


def numbered(ranking: Sequence[str]) -> str:
    return "Thoughts.\n\nFINAL RANKING:\n" + "\n".join(f"{at}. {label}" for at, label in enumerate(ranking, 1))


def numbered_bold(ranking: Sequence[str]) -> str:
    return "**Final Ranking**\n\n" + "\n".join(f"**{at}. {label}** - why" for at, label in enumerate(ranking, 1))


RENDERERS: dict[str, Callable[[Sequence[str]], str]] = {
    "fence": lambda ranking: (
        "Sure.\n" + fenced(json.dumps({"ranking": ranking, "reviews": {ranking[0]: "a {b"}}, indent=1))
    ),
    "plain fence": lambda ranking: fenced(ranking_json(ranking), ""),
    "raw": lambda ranking: "I think: " + ranking_json(ranking, reviews={ranking[-1]: "1. Response A"}) + " ok?",
    "raw, reviews first": lambda ranking: json.dumps({"reviews": {ranking[-1]: "poor"}, "ranking": ranking}),
    "objects": lambda ranking: ranking_json([{"label": label, "rank": at} for at, label in enumerate(ranking, 1)]),
    "ranks": lambda ranking: json.dumps({"ranking": {label: at for at, label in enumerate(ranking, 1)}}),
    "numbered": numbered,
    "numbered, bold": numbered_bold,
    "bullets": lambda ranking: "# Final ranking\n" + "\n".join(f"- {label}" for label in ranking),
    "bullets, bold": lambda ranking: "FINAL RANKING:\n" + "\n".join(f"* **{label}**" for label in ranking),
    "short": lambda ranking: "FINAL RANKING:\n" + "\n".join(f"{at}) {x.split()[1]}" for at, x in enumerate(ranking, 1)),
    "chain": lambda ranking: "FINAL RANKING: " + " > ".join(ranking),
    "short chain": lambda ranking: "FINAL RANKING: " + " > ".join(x.split()[1] for x in ranking),
    "lines": lambda ranking: "FINAL RANKING:\n" + "\n".join(ranking),
    "commas": lambda ranking: "FINAL RANKING: " + ", ".join(ranking),
}


@st.composite
def rankings(draw: st.DrawFn) -> list[str]:
    return draw(st.permutations(labels(draw(st.integers(1, 60)))))


@pytest.mark.parametrize("form", RENDERERS)
@given(ranking=rankings())
@settings(max_examples=25)
def test_round_trip(form: str, ranking: list[str]) -> None:
    ballot = parse_ballot(RENDERERS[form](ranking), labels(len(ranking)))
    assert list(ballot.ranking) == ranking
    assert not ballot.abstained
    assert ballot.problems == ()


@pytest.mark.parametrize("form", RENDERERS)
@given(ranking=rankings(), data=st.data())
@settings(max_examples=40)
def test_a_cut_ballot_never_contradicts_the_full_one(form: str, ranking: list[str], data: st.DataObject) -> None:
    text = RENDERERS[form](ranking)
    at = data.draw(st.integers(0, len(text)))
    got = list(parse_ballot(text[:at], labels(len(ranking))).ranking)
    assert got == ranking[: len(got)]


@pytest.mark.parametrize("form", RENDERERS)
def test_every_cut_of_one_ballot(form: str) -> None:
    """All cuts of a ranking in which labels are beginnings of others, and one is the first letter of "Response"."""
    ranking = ["Response R", "Response AB", "Response A", "Response AA", "Response B", "Response C"]
    known = labels(30)
    text = RENDERERS[form](ranking)
    lengths = [len(parse_ballot(text[:at], known).ranking) for at in range(len(text))]
    for at, length in enumerate(lengths):
        assert list(parse_ballot(text[:at], known).ranking) == ranking[:length]
    assert max(lengths) >= len(ranking) - 1


LABEL_PIECES = [
    "Response A",
    "Response B",
    "Response AB",
    "Response ",
    "A",
    "B",
    "1",
    "I cannot rank ",
    "worst to best",
]
LAYOUT_PIECES = [
    "1. ",
    "2) ",
    "- ",
    "\n",
    " > ",
    "FINAL RANKING:",
    "**",
    "(",
    ")",
    "#",
    "|",
    "_",
    "\ud800",
    "\x00",
    "\u2028",
]
JSON_PIECES = ["```json\n", "```", *'{}[]"', ", ", ": ", '"ranking"', '"scores"', '"reviews"', "\\", "null", "'"]
PIECES = st.sampled_from([*LABEL_PIECES, *LAYOUT_PIECES, *JSON_PIECES])


@given(
    st.one_of(st.text(st.characters(exclude_categories=())), st.lists(PIECES, max_size=60).map("".join)),
    st.integers(0, 30),
)
@settings(max_examples=400)
def test_nothing_is_raised_or_invented(text: str, n: int) -> None:
    known = labels(n)
    ballot = parse_ballot(text, known)
    assert set(ballot.ranking) <= set(known)
    assert len(set(ballot.ranking)) == len(ballot.ranking)
    assert set(ballot.reviews) <= set(known)
    assert ballot.abstained is (not ballot.ranking) is (ballot.form == "none")
    for label in ballot.ranking:
        assert label.split()[1].casefold() in text.casefold()
    json.dumps([ballot.reviews, ballot.problems], ensure_ascii=False).encode()


# Of a text this long, work that grows with the square of its length takes far more than the seconds allowed.
LONG = 250_000
PATHOLOGICAL = [
    *(
        "Response ",
        "{",
        '{"',
        '{"a":',
        "{a:",
        '{"x":[{"x":[',
        '{"ranking":[',
        "[",
        "(",
        ">",
        "\\",
        '"',
        "1. ",
        "1.\n",
        "#1 ",
        "_",
    ),
    *(
        "final ranking: ",
        "Response A > ",
        "1. Response A\n",
        "I can't ",
        "```\n",
        "\ud800",
        " ",
        '{"\\',
        "Response A (",
        "A,",
    ),
]


@pytest.mark.parametrize("unit", PATHOLOGICAL)
def test_a_long_text_of_anything_is_read_within_the_tests_time_limit(unit: str) -> None:
    text = unit * (LONG // len(unit))
    assert parse_ballot(text, FOUR).abstained
    assert len(parse_ballot("FINAL RANKING:\n" + text, FOUR).ranking) <= 1
    assert len(parse_ballot('{"ranking": ["' + text, FOUR).ranking) <= 1
