"""Sentences of ours without hosts and ports."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from composite_llm.proxy.client_view import without_addresses

HOST = "10.0.0.7:8000"


@pytest.mark.parametrize(
    ("sentence", "shown"),
    [
        (f"{HOST} unavailable (HTTP 500, InternalServerError)", "unavailable (HTTP 500, InternalServerError)"),
        (f"{HOST}: a blank answer", "a blank answer"),
        (f"waiting for small ({HOST}), large", "waiting for small, large"),
        (
            f"cut off: no time; no reply from {HOST}, {HOST}0",
            "cut off: no time; no reply from its endpoint, its endpoint",
        ),
        ("http://other.example:9/v1 is down", "its endpoint is down"),
        ("small: unavailable", "small: unavailable"),
    ],
)
def test_an_address_is_left_out_and_the_sentence_still_reads(sentence: str, shown: str) -> None:
    assert without_addresses(sentence, [HOST, f"{HOST}0"]) == shown


@given(
    hosts=st.lists(st.from_regex(r"[a-z0-9.-]{3,20}:[0-9]{2,5}", fullmatch=True), min_size=1, max_size=4),
    words=st.lists(st.sampled_from(["{} unavailable", "{}: blank", "a ({})", "from {}", "{}", "{}{}"]), min_size=1),
    data=st.data(),
)
def test_no_form_of_a_sentence_keeps_an_address(hosts: list[str], words: list[str], data: st.DataObject) -> None:
    text = ", ".join(word.format(*(data.draw(st.sampled_from(hosts)) for _ in range(2))) for word in words)
    shown = without_addresses(text, hosts)
    assert not any(host in shown for host in hosts)
