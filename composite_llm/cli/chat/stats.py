"""What a conversation has cost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from composite_llm.cli.output import print_table
from composite_llm.model.summary import money
from composite_llm.model.trace import Call, Trace
from composite_llm.model.usage import total_cost, total_usage


def print_stats(traces: Sequence[Trace]) -> None:
    """A row for each model, and one for all."""
    calls: dict[str, list[Call]] = {}
    for trace in traces:
        for call in trace.calls:
            calls.setdefault(call.model, []).append(call)
    rows = [_row(model, model_calls) for model, model_calls in sorted(calls.items())]
    everything = [call for model_calls in calls.values() for call in model_calls]
    questions = f"{len(traces)} question{'s' if len(traces) != 1 else ''}"
    print_table(
        ("MODEL", "CALLS", "FAILED", "TOKENS IN", "TOKENS OUT", "COST"),
        [*rows, _row(questions, everything)],
        right=("CALLS", "FAILED", "TOKENS IN", "TOKENS OUT", "COST"),
    )


def _row(name: str, calls: Iterable[Call]) -> tuple[str, ...]:
    known = list(calls)
    usage = total_usage(call.usage for call in known)
    return (
        name,
        str(len(known)),
        str(sum(call.status in ("failed", "timed_out") for call in known)),
        str(usage.prompt_tokens),
        str(usage.completion_tokens),
        money(total_cost(call.cost_usd for call in known)),
    )
