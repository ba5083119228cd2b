from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from composite_llm.model.wellformed import ends_in_half, well_formed, well_formed_json, well_formed_value

HIGH, LOW, EMOJI = "\ud83d", "\ude00", "\U0001f600"
FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466"
# Surrogates among the letters, as models and file names bring them.
TEXTS = st.text(st.sampled_from(["a", "é", "\0", "漢", HIGH, LOW, EMOJI, "\u200d", "\ufe0f", "\n"]), max_size=12)


@pytest.mark.parametrize(
    ("said", "mended"),
    [
        pytest.param(f"good {HIGH}", "good \ufffd", id="first half at the end"),
        pytest.param(f"{LOW} good", "\ufffd good", id="second half at the start"),
        pytest.param(f"a{HIGH}b", "a\ufffdb", id="in the middle"),
        pytest.param(f"{LOW}{HIGH}", "\ufffd\ufffd", id="halves the wrong way round"),
        pytest.param(f"{HIGH}{HIGH}{LOW}", f"\ufffd{EMOJI}", id="one half too many"),
        pytest.param(f"{HIGH}{LOW}", EMOJI, id="a pair said as two halves"),
        pytest.param("\udcff.txt", "\ufffd.txt", id="a byte of a file name"),
        pytest.param("a\0b", "ab", id="NUL"),
        pytest.param("é\0", "é", id="NUL beside an accent"),
        pytest.param(f"{HIGH}\0{LOW}", EMOJI, id="NUL within a pair"),
    ],
)
def test_half_a_pair_becomes_the_replacement_character_and_nul_is_dropped(said: str, mended: str) -> None:
    assert well_formed(said) == mended


@pytest.mark.parametrize("text", ["", "plain", "Ålesund é", "漢字", EMOJI, FAMILY, "🇳🇴", "❤️", "\t\r\n"])
def test_what_is_well_formed_stays_the_same_object(text: str) -> None:
    assert well_formed(text) is text
    value = {"a": [text, {"b": (text, 1, None)}], text: 2.5}
    assert well_formed_value(value) is value


@given(TEXTS)
def test_what_comes_out_can_be_encoded_and_is_not_mended_again(text: str) -> None:
    mended = well_formed(text)
    assert "\0" not in mended
    mended.encode()
    assert well_formed(mended) is mended
    if text.isprintable() and text.isascii():
        assert mended == text


@given(TEXTS, st.integers(0, 12))
def test_a_text_in_two_pieces_is_mended_as_a_whole_one_when_a_half_waits_for_the_other(text: str, at: int) -> None:
    first, second = text[:at].replace("\0", ""), text[at:]
    waiting = ""
    if ends_in_half(first):
        first, waiting = first[:-1], first[-1]
    assert well_formed(first) + well_formed(waiting + second) == well_formed(text)


def test_values_are_mended_however_deep_and_keys_too() -> None:
    value = {"a": [f"x{HIGH}", {f"k{LOW}": "\0", "n": None}], "t": (HIGH,)}
    assert well_formed_value(value) == {"a": ["x\ufffd", {"k\ufffd": "", "n": None}], "t": ["\ufffd"]}
    assert value["a"][0] == f"x{HIGH}"


def test_what_is_nested_too_deep_for_any_encoder_is_left_alone() -> None:
    value: Any = HIGH
    for _ in range(100_000):
        value = [value]
    assert well_formed_value(value) is value
    while isinstance(value, list):
        # Freed step by step: Python frees a list so deep by recursion.
        value = value.pop()


@pytest.mark.parametrize(
    ("source", "read"),
    [
        pytest.param(r'"\ud83d"', "\ufffd", id="half"),
        pytest.param(r'"\uD83D and \uDE00"', "\ufffd and \ufffd", id="two halves"),
        pytest.param(r'"\ud83d\ude00"', EMOJI, id="pair"),
        pytest.param(r'"\ud83d\ud83d\ude00"', f"\ufffd{EMOJI}", id="half before a pair"),
        pytest.param(r'"\\ud83d"', r"\ud83d", id="a backslash that is none of its own"),
        pytest.param(r'"\\\ud83d"', "\\\ufffd", id="backslash and half"),
        pytest.param(r'"a\u0000b"', "ab", id="NUL"),
        pytest.param(r'"\u00e9\n\""', 'é\n"', id="other escapes"),
        pytest.param(f'"{HIGH}"', "\ufffd", id="not escaped"),
    ],
)
def test_escapes_in_json_count_too(source: str, read: str) -> None:
    assert json.loads(well_formed_json(source)) == read


@given(st.recursive(TEXTS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3)))
def test_json_is_mended_as_its_values_are(value: Any) -> None:
    assert json.loads(well_formed_json(json.dumps(value))) == well_formed_value(json.loads(json.dumps(value)))
