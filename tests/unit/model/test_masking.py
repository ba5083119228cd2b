from __future__ import annotations

import json
import string
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from composite_llm.model.masking import MASK, masked, masked_text

LETTERS = string.ascii_letters + string.digits


def tail(alphabet: str, least: int, most: int = 60) -> st.SearchStrategy[str]:
    return st.text(alphabet, min_size=least, max_size=most)


def key(prefix: str, alphabet: str = LETTERS, least: int = 20) -> st.SearchStrategy[str]:
    return tail(alphabet, least).map(lambda rest: prefix + rest)


KEYS = st.one_of(
    *(key(prefix) for prefix in ("sk-", "sk-proj-", "sk-ant-api03-", "sk-or-v1-", "sk-lf-")),
    *(key(prefix) for prefix in ("ghp_", "gho_", "ghs_", "github_pat_", "xoxb-", "xoxp-", "gsk_", "hf_", "AIza")),
    *(key(prefix) for prefix in ("sk_live_", "rk_live_", "glpat-", "xai-", "pplx-", "nvapi-", "npm_")),
    key("AKIA", string.ascii_uppercase + string.digits, 16),
    key("Bearer ", LETTERS + "+/=._~-", 8),
    st.tuples(key("eyJ"), tail(LETTERS, 8), tail(LETTERS, 8)).map(".".join),
    tail(LETTERS + "\n", 8).map(lambda body: f"-----BEGIN RSA PRIVATE KEY-----{body}-----END RSA PRIVATE KEY-----"),
)
# What may stand around a key; a letter or a digit would be a part of it.
AROUND = st.text(st.characters(codec="utf-8", exclude_characters=LETTERS + "-_.~+/="), max_size=20)


@given(KEYS, AROUND, AROUND)
def test_no_key_survives_in_a_text(secret: str, before: str, behind: str) -> None:
    text = masked_text(before + secret + behind)
    assert MASK in text
    assert secret not in text


def nested(leaf: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaf,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.tuples(inner)
            | st.dictionaries(leaf.map(str) | st.text(max_size=5), inner, max_size=3)
        ),
        max_leaves=6,
    )


@given(st.data())
def test_no_key_survives_anywhere_in_a_value_not_even_as_a_name(data: st.DataObject) -> None:
    secret = data.draw(KEYS)
    value = data.draw(nested(st.just(secret) | st.just(secret.encode()) | st.integers() | st.none()))
    assert secret not in json.dumps(masked(value), ensure_ascii=False)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(string.ascii_lowercase + " ", max_size=10),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["city", "n", "deep"]), inner),
        max_leaves=10,
    )
)
def test_what_holds_no_secret_stays_as_it_is(value: Any) -> None:
    assert masked(value) == value


@pytest.mark.parametrize(
    "name",
    ["api_key", "apiKey", "API-KEY", "key", "token", "accessToken", "client_secret", "clientSecret", "password", "passwd",
     "db.password", "Authorization", "cookie", "credentials", "pwd", "passphrase", "OPENAI_API_KEY", "privateKey"],
)  # fmt: skip
def test_what_stands_under_a_secrets_name_is_hidden(name: str) -> None:
    assert masked({name: "plain"}) == {name: MASK}
    assert masked({name: {"deep": ["plain"]}}) == {name: MASK}
    assert masked({name: ""}) == {name: ""}
    assert masked({name: None}) == {name: None}


@pytest.mark.parametrize("name", ["keyboard", "monkey", "tokenizer", "secretary", "city", "keynote"])
def test_a_name_that_only_looks_alike_hides_nothing(name: str) -> None:
    assert masked({name: "plain"}) == {name: "plain"}


@pytest.mark.parametrize(
    "text",
    [
        "task-management-service",
        "risk-assessment",
        "a bearer of news",
        "see http://host:80/a@b",
        "sk-short",
        "skill-based",
    ],
)
def test_ordinary_words_stay(text: str) -> None:
    assert masked_text(text) == text


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("curl -H 'Authorization: Bearer abc+def/ghi='", "curl -H 'Authorization: ***'"),
        ("postgres://ann:hunter2@db/x", "postgres://***@db/x"),
        ("-----BEGIN PRIVATE KEY-----\ncut off", "***"),
        ("one sk-abcdefgh12 two sk-ijklmnop34", "one *** two ***"),
    ],
)
def test_the_rest_of_a_text_stays_readable(text: str, left: str) -> None:
    assert masked_text(text) == left


WORDS = ("sk", "ghp", "gho", "ghs", "ghu", "ghr", "github_pat", "gsk", "hf", "r8", "fw", "npm", "glpat", "pplx", "xai")
MORE = ("nvapi", "tvly", "sk_live", "sk_test", "rk_live", "xoxa", "xoxb", "xoxp", "xoxr", "xoxs")
LIKE_KEYS = st.one_of(
    KEYS,
    st.tuples(st.sampled_from(WORDS + MORE), st.sampled_from("-_"), tail(LETTERS, 0, 40)).map("".join),
    st.tuples(st.sampled_from(["AKIA", "ASIA", "AIza", "eyJ"]), tail(LETTERS, 0, 40)).map("".join),
    st.sampled_from(["bEaReR 12345678", "https://ada:secret@host", "-----BEGIN PRIVATE KEY----- MII"]),
)


@given(LIKE_KEYS, AROUND, AROUND)
def test_a_long_text_is_masked_as_a_short_one(like: str, before: str, behind: str) -> None:
    # Only long ones are looked at quickly first; blanks are part of no secret, but of a private key without an end.
    text = before + like + behind
    assume(len(text) < 100)
    assert masked_text(" " * 100 + text) == " " * 100 + masked_text(text)
