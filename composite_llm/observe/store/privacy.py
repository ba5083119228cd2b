"""How much of prompts and answers is kept: nothing, a beginning, or all. What looks like a key never is."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from composite_llm.model.masking import masked, masked_text
from composite_llm.model.messages import text_of
from composite_llm.model.trace import Analysis, Attempt, Call, Ranking, ToolCall, Trace
from composite_llm.observe.telemetry_settings import Privacy

PREVIEW_CHARACTERS = 200


def kept_text(text: str | None, privacy: Privacy) -> str | None:
    """As much of a prompt or an answer as may be kept."""
    if text is None or privacy == "metadata":
        return None
    # Masked first: a cut in the middle of a key would leave a half that no longer looks like one.
    return masked_text(text) if privacy == "full" else masked_text(text)[:PREVIEW_CHARACTERS]


def kept_question(messages: Sequence[Mapping[str, Any]], privacy: Privacy) -> str | None:
    """As much of the last user message as may be kept."""
    if privacy == "metadata":
        return None
    last = next((message for message in reversed(messages) if message.get("role") == "user"), None)
    return None if last is None else kept_text(text_of(last.get("content")), privacy)


def kept_trace(trace: Trace, privacy: Privacy) -> Trace:
    """The trace, without what may not be kept; the one that was given stays as it is."""
    return trace.model_copy(
        update={
            "error": _shown(trace.error),
            "degraded": [reason.changed(masked_text) for reason in trace.degraded],
            "calls": [kept_call(call, privacy) for call in trace.calls],
            "tool_calls": [_kept_tool_call(call, privacy) for call in trace.tool_calls],
            "ranking": _kept_ranking(trace.ranking, privacy),
            "analysis": _kept_analysis(trace.analysis, privacy),
        }
    )


def kept_call(call: Call, privacy: Privacy) -> Call:
    """One call, without what may not be kept."""
    return call.model_copy(
        update={
            "error": _shown(call.error),
            "content": kept_text(call.content, privacy),
            "critiques": _kept_critiques(call.critiques, privacy),
            "attempts": [_kept_attempt(attempt, privacy) for attempt in call.attempts],
        }
    )


def _shown(error: str | None) -> str | None:
    """An error of ours: one sentence without a prompt or an answer."""
    return None if error is None else masked_text(error)


def _kept_attempt(attempt: Attempt, privacy: Privacy) -> Attempt:
    if attempt.error is None and attempt.next_step is None and attempt.provider_message is None:
        return attempt
    return attempt.model_copy(
        update={
            "error": _shown(attempt.error),
            "next_step": None if attempt.next_step is None else attempt.next_step.changed(masked_text),
            # Short as it is, it may quote the prompt.
            "provider_message": None if privacy == "metadata" else _shown(attempt.provider_message),
        }
    )


def _kept_tool_call(call: ToolCall, privacy: Privacy) -> ToolCall:
    """A tool's arguments were written by a model, its result and its error by whatever it read."""
    if privacy == "full":
        arguments: Any = masked(call.arguments)
    else:
        arguments = kept_text(_as_json(masked(call.arguments)), privacy) or ""
    error = kept_text(call.error, privacy)
    return call.model_copy(
        update={
            "arguments": arguments,
            "result": kept_text(call.result, privacy),
            "error": "failed" if call.error is not None and error is None else error,
        }
    )


def _as_json(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _kept_ranking(ranking: Ranking | None, privacy: Privacy) -> Ranking | None:
    if ranking is None:
        return None
    # What is said about a ballot may quote it.
    ballots = [
        ballot.model_copy(
            update={
                "problems": _kept_texts(ballot.problems, privacy),
                "critiques": _kept_critiques(ballot.critiques, privacy),
            }
        )
        for ballot in ranking.ballots
    ]
    return ranking.model_copy(update={"ballots": ballots})


def _kept_analysis(analysis: Analysis | None, privacy: Privacy) -> Analysis | None:
    """It sums up the answers, so nothing is left of it where they may not be kept."""
    if analysis is None or privacy == "metadata":
        return None

    def kept(text: str) -> str:
        return kept_text(text, privacy) or ""

    return Analysis(
        consensus=[kept(text) for text in analysis.consensus],
        contradictions=[
            found.model_copy(
                update={
                    "topic": kept(found.topic),
                    "stances": [stance.model_copy(update={"stance": kept(stance.stance)}) for stance in found.stances],
                }
            )
            for found in analysis.contradictions
        ],
        partial_coverage=[found.model_copy(update={"point": kept(found.point)}) for found in analysis.partial_coverage],
        unique_insights=[
            found.model_copy(update={"insight": kept(found.insight)}) for found in analysis.unique_insights
        ],
        blind_spots=[kept(text) for text in analysis.blind_spots],
    )


def _kept_critiques(critiques: Mapping[str, str], privacy: Privacy) -> dict[str, str]:
    return {name: kept for name, text in critiques.items() if (kept := kept_text(text, privacy)) is not None}


def _kept_texts(texts: Sequence[str], privacy: Privacy) -> list[str]:
    return [kept for text in texts if (kept := kept_text(text, privacy)) is not None]
