from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from composite_llm.cli.exits import Misused
from composite_llm.cli.moment import moment_of, span_of

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("24h", NOW - timedelta(hours=24)),
        ("7d", NOW - timedelta(days=7)),
        ("1.5 H", NOW - timedelta(minutes=90)),
        ("2w", NOW - timedelta(weeks=2)),
        ("30m", NOW - timedelta(minutes=30)),
        ("2026-11-01", datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026-11-01T06:00", datetime(2026, 11, 1, 6, tzinfo=UTC)),
        ("2026-11-01T06:00+02:00", datetime(2026, 11, 1, 4, tzinfo=UTC)),
    ],
)
def test_a_moment_is_a_span_before_now_or_a_day_or_a_time(text: str, moment: datetime) -> None:
    assert moment_of("--since", text, NOW) == moment


@pytest.mark.parametrize("text", ["", "yesterday", "7", "d", "-7d", "2026-13-01", "7d 3h"])
def test_anything_else_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(Misused, match=r"--since .*: write a span such as 24h or 7d, or a day such as 2026-11-01"):
        moment_of("--since", text, NOW)
    with pytest.raises(Misused, match=r"--older-than .*: write a span such as 24h, 7d or 2w"):
        span_of("--older-than", text)


@given(st.text() | st.from_regex(r"\d{1,400}(\.\d+)?[smhdw]", fullmatch=True))
def test_whatever_is_typed_is_a_moment_or_refused(text: str) -> None:
    with contextlib.suppress(Misused):
        assert moment_of("--since", text, NOW).tzinfo is not None
