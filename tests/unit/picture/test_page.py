from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from composite_llm.model.summary import money
from composite_llm.model.trace import Trace
from composite_llm.picture import PageContext, fragment, page
from tests.support.html_outline import outline
from tests.support.runs_to_show import ALL, council, failed, mixture, nested, reused, with_tools


def said(trace: Trace) -> str:
    return outline(page(trace)).text


@pytest.mark.parametrize("told", ALL.values(), ids=ALL)
def test_every_run_gives_a_page_whose_elements_all_close(told: Callable[[], Trace]) -> None:
    for html in (page(told()), fragment(told())):
        assert set(outline(html).unclosed) <= {"html"}


@pytest.mark.parametrize("told", ALL.values(), ids=ALL)
def test_a_page_names_every_call_with_its_time_tokens_and_money(told: Callable[[], Trace]) -> None:
    trace, text = told(), said(told())
    assert trace.model in text
    assert trace.id in text
    for call in trace.calls:
        assert call.name in text
        assert f"{call.duration_s:.2f} s" in text
        assert not call.usage.total_tokens or f"{call.usage.prompt_tokens} + {call.usage.completion_tokens}" in text
        assert " ".join((call.content or "").split()) in text
    assert money(trace.cost_usd) in text
    assert f"{trace.usage.total_tokens:,}" in text


@pytest.mark.parametrize("told", ALL.values(), ids=ALL)
def test_a_page_asks_for_nothing_and_obeys_nothing_but_its_own_style_and_script(told: Callable[[], Trace]) -> None:
    html = page(told())
    assert re.findall(r'(?:src|href|action|srcset|data|poster)="([^"]*)"', html) == ["data:,"]
    assert "@import" not in html
    assert "url(" not in html
    assert " style=" not in html
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', html)
    assert policy.startswith("default-src &#x27;none&#x27;;")
    assert "unsafe" not in policy


def test_a_failed_attempt_has_what_its_provider_said() -> None:
    trace = failed()
    attempt = trace.calls[0].attempts[0]
    attempt.provider_message = "<b>Field 'n'</b>: Value must be 1"
    assert "<b>Field 'n'</b>: Value must be 1" in said(trace)
    assert "<b>Field" not in page(trace)


def test_what_departed_from_the_configuration_comes_before_the_facts() -> None:
    text = said(mixture())
    places = [text.index(reason.replace(": ", " ", 1)) for reason in mixture().degraded]
    assert max(places) < text.index("Duration")
    assert "Degraded: 2 departures from the configuration" in text
    assert "Degraded" not in said(with_tools())


def test_attempts_say_what_they_were_how_they_ended_and_what_followed() -> None:
    text = said(mixture())
    for part in (
        "first failed patient",
        "retry patient",
        "hedge hedged",
        "first abandoned hedged",
        "fallback spare",
        "429 RateLimitError: slow down retry after 1.0 s",
        "503 ServiceUnavailableError: is down given up",
        "hedged after 1.5 s",
        "down at down:443",
    ):
        assert part in text


def test_a_first_token_has_a_mark() -> None:
    tags = outline(page(mixture())).tags
    # Its own, and that of the legend.
    assert sum("first-token" in tag for tag in tags) == 2
    assert not any("first-token" in tag for tag in outline(page(council())).tags)


def test_every_way_to_end_has_a_shape_of_its_own() -> None:
    call = mixture().calls[0]
    shapes = {}
    for status in ("ok", "failed", "timed_out", "abandoned", "cancelled"):
        calls = [call.model_copy(update={"status": status})]
        tags = outline(page(mixture().model_copy(update={"calls": calls}))).tags
        shapes[status] = tuple(tag for tag in tags if tag.startswith("path class='end"))
    assert len(set(shapes.values())) == 5


def test_a_council_shows_its_table_agreement_dissent_and_ballots() -> None:
    told, text = council(), said(council())
    assert told.ranking is not None
    assert told.ranking.agreement is not None
    (dissent,) = told.ranking.dissent
    assert "Borda: points by place; 5 ballots counted of 6" in text
    assert f"{told.ranking.agreement:.2f}" in text
    assert f"{dissent.champions[0]} ranked {dissent.name} first; the group put it in place {dissent.rank}." in text
    first = told.ranking.table[0]
    assert f"{first.rank} {first.name} {first.label} {first.score:.2f}" in text
    assert text.count("abstained") >= 6
    assert "no ranking found" in text


def test_an_unknown_price_is_said_with_the_part_that_is_known() -> None:
    text = said(council())
    known = sum(call.cost_usd or 0 for call in council().calls)
    assert f"Cost unknown ${known:.6f} known; no price for 1 attempt" in text


def test_what_was_cut_off_without_usage_makes_every_sum_above_it_a_lower_bound() -> None:
    told = mixture()
    assert told.attempts_without_usage == 2
    text = said(told)
    assert f"Tokens \u2265{told.usage.total_tokens:,}" in text
    assert f"Cost \u2265{money(told.cost_usd)} at least: 2 attempts cut off without usage" in text
    assert "3.60 s no usage \u2013" in text
    assert "\u2265 at least: an attempt was cut off" in text
    assert "\u2265" not in said(nested())


def test_calls_of_a_composite_are_indented_below_it() -> None:
    depths = re.findall(r'class="name d(\d)"', page(nested()))
    assert {"0", "1", "2"} <= set(depths)


def test_tool_rounds_show_arguments_results_and_failures() -> None:
    text = said(with_tools())
    assert '{ "query": "backup" }' in text
    assert '"hits"' in text
    assert "no such query" in text
    assert "Round 1" in text


def test_a_failed_run_says_so_first() -> None:
    text = said(failed())
    assert text.index("This run gave no answer") < text.index("Degraded") < text.index("Duration")
    assert "QuorumNotMet" not in text
    assert "with an error" in text


def test_a_reused_deliberation_is_said() -> None:
    assert "deliberation are used again" in said(reused())


def test_what_a_store_knows_beside_the_trace_is_shown() -> None:
    kept_nothing = PageContext(kept="metadata", origin=[("User", "ada")])
    text = outline(page(mixture(), context=kept_nothing)).text
    assert "tool arguments and tool results were not stored (privacy: metadata)." in text
    assert "User ada" in text
    assert (
        "Only the beginning of each text was stored"
        in outline(page(mixture(), context=PageContext(kept="preview"))).text
    )


def test_texts_that_were_not_kept_are_said_to_be_missing() -> None:
    calls = [call.model_copy(update={"content": None}) for call in mixture().calls]
    bare = mixture().model_copy(update={"calls": calls})
    assert "Not kept." in outline(page(bare, context=PageContext(kept="metadata"))).text
    assert "No text." in outline(page(bare)).text


def test_a_tools_texts_that_were_not_kept_are_not_taken_for_empty_ones() -> None:
    bare = [tool.model_copy(update={"arguments": "", "result": None}) for tool in with_tools().tool_calls]
    told = with_tools().model_copy(update={"tool_calls": bare})
    assert "Arguments" not in outline(page(told, context=PageContext(kept="metadata"))).text
    assert "Arguments (beginning)" in outline(page(told, context=PageContext(kept="preview"))).text


def test_a_question_that_was_kept_is_shown_and_a_trace_has_none() -> None:
    assert "Asked Question 4 characters Why?" in outline(page(mixture(), context=PageContext(question="Why?"))).text
    assert "Asked" not in said(mixture())


@pytest.mark.parametrize(
    ("ending", "words"),
    [
        ("running", "Ended not yet"),
        ("lost", "This run was lost"),
        ("cancelled", "its caller stopped waiting"),
        ("ok", "Ended with an answer"),
    ],
)
def test_a_run_that_did_not_end_well_or_not_yet_says_how_it_stands(ending: Any, words: str) -> None:
    assert words in outline(page(mixture(), context=PageContext(ending=ending))).text


def test_a_run_that_asked_nobody_has_a_page() -> None:
    bare = Trace(id="r", strategy="moa", model="m", started_at=datetime(2026, 1, 1, tzinfo=UTC), duration_s=0)
    assert "No model was asked." in said(bare)


def test_a_page_is_written_as_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "run.html"
    path.write_text("old", encoding="utf-8")
    html = mixture().to_html(path)
    assert path.read_text(encoding="utf-8") == html
    assert mixture().to_html(str(path)) == html == mixture().to_html()
    assert html == page(mixture())


def test_a_page_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        mixture().to_html(tmp_path / "missing" / "run.html")


def test_a_notebook_gets_a_fragment_without_a_script() -> None:
    html = mixture()._repr_html_()
    assert html == fragment(mixture())
    tags = outline(html).tags
    assert not any(tag.split()[0] in ("script", "html", "body", "main", "link", "meta") for tag in tags)
    assert "deployment" in html
