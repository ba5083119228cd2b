"""One line of standard `logging` per run, with its figures as structured extras."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from composite_llm.model.events import Event
from composite_llm.model.execution_context import ExecutionContext
from composite_llm.model.masking import masked_text
from composite_llm.model.trace import Trace
from composite_llm.observe.observer import RunInfo

_log = logging.getLogger("composite_llm")

_CONTEXT_KEYS = ("user_id", "workflow_name", "step_name", "task_type", "project")


class RunLog:
    """Logs each run at INFO when it has ended, on the logger `composite_llm`.

    The record's extras are named `composite_…`.
    No prompt, answer, tool argument or key is in either; an unknown cost is None.
    """

    listens = False

    def run_started(self, run: RunInfo) -> None:
        """Nothing yet."""

    def run_event(self, run: RunInfo, event: Event) -> None:
        """Nothing: one line per run."""

    def run_ended(self, run: RunInfo, trace: Trace) -> None:
        """The line."""
        if _log.isEnabledFor(logging.INFO):
            _log.info(_line(trace), extra=_extras(run, trace))


def _line(trace: Trace) -> str:
    cost = "cost unknown" if trace.cost_usd is None else f"${trace.cost_usd:.6f}"
    parts = [
        f"{trace.model} {trace.ending} in {trace.duration_s:.3f} s",
        f"{len(trace.calls)} calls",
        f"{trace.usage.prompt_tokens}+{trace.usage.completion_tokens} tokens",
        cost,
    ]
    if codes := trace.degraded_codes:
        parts.append(f"degraded: {' '.join(codes)}")
    if trace.ending == "failed":
        parts.append(f"{trace.error_class}: {trace.error}")
    # A model string may hold an address with a password; a line break would forge a second line.
    return masked_text(", ".join(parts)).replace("\r", " ").replace("\n", " ")


def _extras(run: RunInfo, trace: Trace) -> dict[str, Any]:
    extras: dict[str, Any] = {
        "run_id": trace.id,
        "model": masked_text(trace.model),
        "strategy": trace.strategy,
        "status": trace.ending,
        "streamed": run.streamed,
        "duration_s": trace.duration_s,
        "calls": len(trace.calls),
        "prompt_tokens": trace.usage.prompt_tokens,
        "completion_tokens": trace.usage.completion_tokens,
        "cost_usd": trace.cost_usd,
        "degraded": trace.degraded_codes,
        "error_class": trace.error_class,
        "trace_id": run.trace_id,
        **_told_by_the_caller(run.metadata),
        "session_id": run.conversation_id,
    }
    return {f"composite_{name}": value for name, value in extras.items()}


def _told_by_the_caller(metadata: Mapping[str, Any]) -> dict[str, str]:
    context = ExecutionContext.of_metadata(metadata)
    return {key: masked_text(value) for key in _CONTEXT_KEYS if (value := getattr(context, key)) is not None}
