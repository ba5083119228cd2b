from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from composite_llm import TraceStore
from composite_llm.model.trace import (
    Analysis,
    Contradiction,
    PartialCoverage,
    Ranking,
    ReviewRecord,
    Stance,
    ToolCall,
    Trace,
    UniqueInsight,
)
from composite_llm.observe.observer import Observers, RunInfo
from composite_llm.observe.store.store_observer import StoreObserver
from composite_llm.observe.telemetry_settings import Privacy, TelemetrySettings
from composite_llm.run import Services
from tests.support.benches import bench
from tests.support.scripted_backend import Say, Script, ScriptedBackend, ScriptedFacts, failing
from tests.support.telling import a_call, a_trace, info, tell_call

PROMPT, ANSWER, ARGUMENT = "PROMPT-OF-THE-USER", "ANSWER-OF-A-MODEL", "ARGUMENT-OF-A-TOOL"
RESULT, COMPLAINT, BALLOT = "RESULT-OF-A-TOOL", "COMPLAINT-OF-A-TOOL", "WORDS-OF-A-BALLOT"
FINDINGS = ("AGREED", "TOPIC", "STANCE", "COVERED-POINT", "INSIGHT-OF-ONE", "BLIND-SPOT")
CONTENTS = (PROMPT, ANSWER, ARGUMENT, RESULT, COMPLAINT, BALLOT, *FINDINGS)
KEY = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789"
FILLER = "x" * 200


def contentful(text: str = "") -> tuple[RunInfo, Trace]:
    """A run with contents in every place that may hold some, each after `text`."""
    tool = ToolCall(
        id="t", round=1, name="look", arguments={"q": text + ARGUMENT}, result=text + RESULT, start_s=0, duration_s=1
    )
    broken = tool.model_copy(update={"result": None, "error": text + COMPLAINT, "arguments": text + ARGUMENT})
    ballot = ReviewRecord(reviewer="r", ranking=[], abstained=True, problems=[text + BALLOT])
    agreed, topic, stance, point, insight, blind_spot = FINDINGS
    trace = a_trace(
        [a_call(1, content=text + ANSWER)],
        tool_calls=[tool, broken],
        ranking=Ranking(method="borda", table=[], ballots=[ballot], agreement=None),
        analysis=Analysis(
            consensus=[text + agreed],
            contradictions=[Contradiction(topic=text + topic, stances=[Stance(label="m", stance=text + stance)])],
            partial_coverage=[PartialCoverage(labels=["m"], point=text + point)],
            unique_insights=[UniqueInsight(label="m", insight=text + insight)],
            blind_spots=[text + blind_spot],
        ),
    )
    return info(trace, messages=[{"role": "user", "content": text + PROMPT}]), trace


def written_bytes(path: Path, privacy: Privacy, run: RunInfo, trace: Trace) -> bytes:
    """All that is in the store's files, while the run is under way and afterwards."""
    observer = StoreObserver(TelemetrySettings(path=path, privacy=privacy))
    observer.run_started(run)
    for call in trace.calls:
        tell_call(observer, run, call)
    assert observer.flush()
    seen = _bytes(path)
    observer.run_ended(run, trace)
    assert observer.flush()
    seen += _bytes(path)
    observer.close()
    return seen + _bytes(path)


def _bytes(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(path.parent.glob(f"{path.name}*")))


def found(seen: bytes) -> list[str]:
    return [text for text in CONTENTS if text.encode() in seen]


def test_metadata_keeps_no_prompt_and_no_answer_anywhere_in_the_file(path: Path) -> None:
    seen = written_bytes(path, "metadata", *contentful())
    assert b"gpt-4o" in seen
    assert found(seen) == []


def test_preview_keeps_the_first_200_characters_and_not_one_more(path: Path, store: TraceStore) -> None:
    run, trace = contentful(FILLER)
    assert found(written_bytes(path, "preview", run, trace)) == []
    kept = store.trace(trace.id)
    assert store.run(trace.id).question == kept.calls[0].content == kept.tool_calls[0].result == FILLER
    assert kept.tool_calls[0].arguments == ('{"q": "' + FILLER)[:200]


def test_preview_keeps_what_is_short(path: Path) -> None:
    assert found(written_bytes(path, "preview", *contentful())) == list(CONTENTS)


def test_full_keeps_the_question_and_the_whole_trace(path: Path, store: TraceStore) -> None:
    run, trace = contentful(FILLER)
    assert found(written_bytes(path, "full", run, trace)) == list(CONTENTS)
    assert store.run(trace.id).question == FILLER + PROMPT
    assert store.trace(trace.id) == trace


@pytest.mark.parametrize("privacy", ["metadata", "preview", "full"])
def test_a_key_is_kept_in_no_mode(path: Path, privacy: Privacy) -> None:
    run, trace = contentful(f"my key is {KEY} ")
    trace = trace.model_copy(update={"error": f"bad key {KEY}", "degraded": [f"retried with {KEY}"]})
    told: dict[str, Any] = dict.fromkeys(("user_id", "session_id", "project", "workflow_name"), f"{KEY} of ada")
    run = RunInfo(run.id, "moa", run.model, messages=run.messages, metadata={**told, "tags": [KEY]}, identity=KEY)
    seen = written_bytes(path, privacy, run, trace)
    assert KEY[:20].encode() not in seen
    assert b"of ada" in seen


@pytest.mark.parametrize("privacy", ["metadata", "preview", "full"])
def test_a_key_at_the_edge_of_a_preview_is_not_cut_into_two_harmless_halves(path: Path, privacy: Privacy) -> None:
    run, trace = contentful("x" * 190 + f" {KEY} ")
    assert b"sk-proj-" not in written_bytes(path, privacy, run, trace)


@pytest.mark.parametrize(("privacy", "kept"), [("metadata", False), ("preview", True), ("full", True)])
def test_a_providers_own_sentence_is_kept_where_prompts_are(
    path: Path, store: TraceStore, privacy: Privacy, kept: bool
) -> None:
    run, trace = contentful()
    sentence = f"You asked: {'x' * 400} {KEY}"
    (attempt, *_) = trace.calls[0].attempts
    told = attempt.model_copy(update={"provider_message": sentence})
    call = trace.calls[0].model_copy(update={"attempts": [told]})
    trace = trace.model_copy(update={"calls": [call, *trace.calls[1:]]})
    assert (b"You asked" in written_bytes(path, privacy, run, trace)) == kept
    stored = store.trace(trace.id).calls[0].attempts[0].provider_message
    assert stored == (sentence.replace(KEY, "***") if kept else None)


async def test_a_failed_run_leaves_neither_prompt_nor_answer_in_its_errors(path: Path) -> None:
    script: Script = {"a": Say(ANSWER), "b": failing("rejected"), "chief": failing("unavailable")}
    observer = StoreObserver(TelemetrySettings(path=path))
    services = Services(ScriptedBackend(script), ScriptedFacts(), observers=Observers([observer]))
    messages = [{"role": "user", "content": PROMPT}]
    b = bench("composite/moa/chief", script, messages, services=services, proposers=["a", "b"])
    with pytest.raises(Exception, match="the final call failed"):
        await b.run.reply()
    observer.close()
    assert found(_bytes(path)) == []
    assert "the final call failed" in (TraceStore(path).run(b.run.id).error or "")


def test_the_file_is_its_owners_alone(path: Path) -> None:
    written_bytes(path, "metadata", *contentful())
    assert path.stat().st_mode & 0o777 == 0o600
