from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from composite_llm.viewer.run_query import PER_PAGE, RunQuery, run_query_of

NOW = datetime(2026, 1, 31, tzinfo=UTC)


def test_an_address_without_filters_asks_for_the_newest_runs() -> None:
    asked = run_query_of({})
    assert not asked.filtered
    assert asked.address(1) == "/"
    found = asked.query(NOW)
    assert (found["limit"], found["offset"]) == (PER_PAGE + 1, 0)
    assert {value for name, value in found.items() if name not in ("limit", "offset")} == {None}


def test_filters_and_the_page_are_read_from_the_address() -> None:
    asked = run_query_of({"since": "7d", "status": "failed", "model": " gpt-4o ", "user": "ada", "page": "3"})
    assert asked.filtered
    found = asked.query(NOW)
    assert found["since"] == NOW - timedelta(days=7)
    assert (found["status"], found["model"], found["user"]) == ("failed", "gpt-4o", "ada")
    assert found["offset"] == 2 * PER_PAGE


@pytest.mark.parametrize(
    "address",
    [
        {"since": "ever"}, {"status": "odd"}, {"page": "x"}, {"page": "-1"}, {"page": "0"}, {"page": "9" * 30},
        {"page": "\u0663"}, {"model": "  "}, {"unknown": "x"},
    ],
)  # fmt: skip
def test_what_no_filter_knows_is_not_asked_for(address: dict[str, str]) -> None:
    assert run_query_of(address) == RunQuery()


def test_a_page_far_beyond_the_last_is_a_page() -> None:
    assert run_query_of({"page": "9999999"}).page == 1_000_000


@given(st.fixed_dictionaries({}, optional={name: st.text() for name in ("model", "user", "project", "session")}))
def test_the_address_of_a_list_asks_for_the_same_list(texts: dict[str, str]) -> None:
    texts = {name: text.encode("utf-8", "replace").decode() for name, text in texts.items()}
    asked = run_query_of({**texts, "status": "ok", "since": "1h"})
    address = dict(parse_qsl(urlsplit(asked.address(2)).query))
    assert run_query_of(address) == run_query_of({**texts, "status": "ok", "since": "1h", "page": "2"})
