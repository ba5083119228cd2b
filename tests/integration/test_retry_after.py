"""`Retry-After`, as providers write it."""

from __future__ import annotations

import email.utils
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import composite_llm
from composite_llm.backend.litellm_errors import parsed_retry_after
from fake_server import ThreadedServer
from tests.support import wire
from tests.support.asking import FIRST, SECOND, Ask

NOW = 784_111_777.0
"""Sun, 06 Nov 1994 08:49:37 GMT, the moment of RFC 9110's examples."""


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("0", 0),
        ("7", 7),
        ("2.5", 2.5),
        ("-3", 0),
        ("Sun, 06 Nov 1994 08:49:49 GMT", 12),
        ("Sunday, 06-Nov-94 08:49:49 GMT", 12),
        ("Sun Nov  6 08:49:49 1994", 12),
        ("Sun, 06 Nov 1994 09:49:49 +0100", 12),
        ("Sun, 06 Nov 1994 08:49:00 GMT", 0),
        ("", None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("Sun, 99 Nov 1994 08:49:49 GMT", None),
    ],
)
def test_seconds_and_all_forms_of_an_http_date_are_read(
    written: str, seconds: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW)
    assert parsed_retry_after(written) == seconds


@given(st.one_of(st.text(max_size=60), st.floats().map(str), st.datetimes().map(email.utils.format_datetime)))
def test_whatever_is_written_is_a_number_of_seconds_or_nothing(written: str) -> None:
    seconds = parsed_retry_after(written)
    assert seconds is None or 0 <= seconds < float("inf")


@pytest.mark.parametrize(
    ("retry_after", "asked"),
    [
        (email.utils.formatdate(0, usegmt=True), ["gpt-4o-mini", "gpt-4o-mini"]),
        (0, ["gpt-4o-mini", "gpt-4o-mini"]),
        ("Wed, 21 Oct 2099 07:28:00 GMT", ["gpt-4o-mini", "gpt-4.1-mini"]),
        (16, ["gpt-4o-mini", "gpt-4.1-mini"]),
    ],
    ids=["a date that is over", "no seconds", "a date far away", "too many seconds"],
)
def test_a_rate_limited_model_is_tried_again_when_it_says_or_left_for_its_fallback(
    retry_after: Any, asked: list[str], ask_both: Ask, server: ThreadedServer
) -> None:
    busy = {"error": {"status": 429, "retry_after": retry_after}}
    server.set_scenario("gpt-4o-mini", {"sequence": [busy, {"text": "At last."}]})
    answer = ask_both(proposers=[{"model": FIRST, "fallbacks": [SECOND]}])
    assert wire.models(server)[:2] == asked
    steps = [attempt.next_step for attempt in composite_llm.get_trace(answer).calls[0].attempts]
    assert str(steps[0]).startswith("retry after 0.0 s" if asked[0] == asked[1] else "given up: asked to wait")
    assert steps[1:] == [None]
