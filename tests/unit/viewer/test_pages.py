from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from composite_llm.observe.records import RunRecord
from composite_llm.viewer.page_context import page_context_of
from composite_llm.viewer.pages import error_page, list_page, run_page
from composite_llm.viewer.run_query import PER_PAGE, RunQuery, run_query_of
from tests.support.html_outline import outline
from tests.support.runs_to_show import council, mixture

ATTACK = '"><script>alert(1)</script><img src=x onerror=alert(1)>'


def record(**more: Any) -> RunRecord:
    values: dict[str, Any] = {
        "id": "r1", "status": "ok", "strategy": "moa", "model": "composite/moa/x",
        "started_at": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "duration_s": 1.5, "calls": 3, **more,
    }  # fmt: skip
    return RunRecord(**values)


def said(*found: RunRecord, **asked: Any) -> str:
    return outline(list_page(RunQuery(**asked), found)).text


def test_a_row_says_when_what_how_long_and_how_much() -> None:
    text = said(record(profile="p", user="ada", session="s1", project="apollo", failed_calls=1, degraded=["a", "b"]))
    for part in ("2026-01-02 03:04:05", "composite/moa/x", "ok", "1.50 s", "3 calls", "1 not answered", "degraded: 2"):
        assert part in text
    assert "user ada" in text
    assert "project apollo" in text


def test_an_unknown_cost_shows_what_is_known() -> None:
    assert "over $0.500000" in said(record(cost_usd=None, known_cost_usd=0.5))
    assert "price unknown" in said(record(cost_usd=None))


def test_a_question_is_shown_where_it_was_kept() -> None:
    assert "Why is the sky blue?" in said(record(question="Why is the sky blue?"))


@pytest.mark.parametrize(
    ("asked", "words"), [({}, "No runs have been stored yet."), ({"user": "ada"}, "No run matches these filters.")]
)
def test_an_empty_list_says_why(asked: dict[str, Any], words: str) -> None:
    assert words in said(**asked)


def test_pages_lead_to_the_next_with_the_same_filters() -> None:
    html = list_page(run_query_of({"user": "a&b", "page": "2"}), [record()] * (PER_PAGE + 1))
    assert 'href="/?user=a%26b&amp;page=3" rel="next"' in html
    assert 'href="/?user=a%26b" rel="prev"' in html
    assert f"{PER_PAGE + 1} to {2 * PER_PAGE}" in outline(html).text
    assert "Older" not in said(record())


def test_the_filters_are_filled_in() -> None:
    html = list_page(run_query_of({"status": "failed", "since": "7d", "model": '"gpt'}), [])
    assert '<option value="failed" selected>' in html
    assert '<option value="7d" selected>' in html
    assert 'value="&quot;gpt"' in html


def test_a_list_and_a_run_under_way_are_live_and_an_ended_run_is_not() -> None:
    assert "data-live" in list_page(RunQuery(), []).split("<body")[1].split("<script")[0]
    running, ended = (run_page(record(status=status), mixture()) for status in ("running", "ok"))
    assert '<div id="run" data-live>' in running
    assert '<div id="run">' in ended
    assert '<noscript><meta http-equiv="refresh" content="5"/></noscript>' in running
    assert 'http-equiv="refresh"' not in ended


def test_a_run_that_has_just_begun_has_a_page() -> None:
    begun = mixture().model_copy(update={"calls": []})
    assert "No call is done yet." in outline(run_page(record(status="running"), begun)).text


def test_a_run_page_holds_what_a_written_page_holds_and_where_the_run_came_from() -> None:
    text = outline(run_page(record(user="ada", tags=["x", "y"], privacy="preview", question="Why?"), council())).text
    for part in ("Kendall", "User ada", "Tags x, y", "(privacy: preview)", "Question", "Why?", "All runs"):
        assert part in text


def test_a_page_may_ask_its_own_server_and_nobody_else() -> None:
    policy = list_page(RunQuery(), []).split('Content-Security-Policy" content="')[1].split('"')[0]
    assert "default-src &#x27;none&#x27;" in policy
    assert "connect-src &#x27;self&#x27;" in policy
    assert "form-action &#x27;self&#x27;" in policy
    assert "unsafe" not in policy


def test_an_error_is_a_page() -> None:
    assert "No such run there is no run 'x'" in outline(error_page("No such run", "there is no run 'x'")).text


def test_a_run_says_how_it_stands_and_what_was_kept() -> None:
    context = page_context_of(record(status="lost", privacy="metadata", workflow="w", task_type="t"))
    assert (context.ending, context.kept) == ("lost", "metadata")
    assert context.origin == [("Workflow", "w"), ("Task type", "t")]


@settings(max_examples=40)
@given(
    st.lists(st.sampled_from([ATTACK, "</td></table>", "'", "\u202e", "\x00", "a/b?c#d", "&lt;"]), min_size=1).map(
        "".join
    )
)
def test_hostile_fields_give_the_elements_of_harmless_ones(text: str) -> None:
    def page(value: str) -> list[str]:
        fields = dict.fromkeys(("model", "user", "session", "project", "workflow", "question", "profile"), value)
        tags = outline(list_page(RunQuery(model=value, user=value), [record(**fields), record(**fields)])).tags
        return [tag for tag in tags if "value=" not in tag]

    assert page(text) == page("x" * len(text))
    assert "<script>alert" not in run_page(record(question=text, user=text, tags=[text]), mixture())
