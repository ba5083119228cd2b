"""What a store knows of a run beside its trace, for the run's page."""

from __future__ import annotations

from composite_llm.observe.records import RunRecord
from composite_llm.picture import PageContext

_ORIGIN = ("profile", "user", "session", "project", "workflow", "step", "task_type")


def page_context_of(run: RunRecord) -> PageContext:
    """As the page of a run wants it."""
    origin = [(name.replace("_", " ").capitalize(), getattr(run, name)) for name in _ORIGIN]
    if run.tags:
        origin.append(("Tags", ", ".join(run.tags)))
    return PageContext(
        ending=run.status,
        kept=run.privacy,
        question=run.question,
        origin=[(name, value) for name, value in origin if value],
    )
