"""Which runs a query is about, as SQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from composite_llm.observe.store.timestamps import to_microseconds


@dataclass(frozen=True, slots=True)
class RunFilter:
    """All that is given must hold.

    Attributes:
        since: Started then or later.
        until: Started before then.
        model: The composite model string, or a model that was asked; the part after a provider's prefix is enough.
        profile: The profile's name.
        status: As in `RunRecord`.
        user: As in the request's metadata; likewise `session`, `project`, `workflow`.
        tag: One of its tags.
    """

    since: datetime | None = None
    until: datetime | None = None
    model: str | None = None
    profile: str | None = None
    status: str | None = None
    user: str | None = None
    session: str | None = None
    project: str | None = None
    workflow: str | None = None
    tag: str | None = None

    def where(self, gone: Sequence[str] = ()) -> tuple[str, list[Any]]:
        """The condition on `runs`, and its parameters; `gone` are writers whose runs are lost."""
        terms: list[str] = ["1"]
        values: list[Any] = []

        def add(term: str, *parameters: Any) -> None:
            terms.append(term)
            values.extend(parameters)

        if self.since is not None:
            add("runs.started_us >= ?", to_microseconds(self.since))
        if self.until is not None:
            add("runs.started_us < ?", to_microseconds(self.until))
        for column in ("profile", "user", "session", "project", "workflow"):
            if (wanted := getattr(self, column)) is not None:
                add(f"runs.{column} = ?", wanted)
        if self.status is not None:
            add(f"{status_of(gone)} = ?", *gone, self.status)
        if self.tag is not None:
            add("EXISTS (SELECT 1 FROM json_each(runs.tags) WHERE value = ?)", self.tag)
        if self.model is not None:
            named = "= ? OR {0} LIKE '%/' || ? ESCAPE '\\'"
            asked = f"EXISTS (SELECT 1 FROM attempts WHERE run_id = runs.id AND (model {named.format('model')}))"
            literal = self.model.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
            add(f"(runs.model {named.format('runs.model')} OR {asked})", *(self.model, literal) * 2)
        return " AND ".join(terms), values


def status_of(gone: Sequence[str]) -> str:
    """The status of a run as SQL; takes the writers that are gone as parameters."""
    marks = ", ".join("?" * len(gone))
    return f"CASE WHEN runs.status = 'running' AND runs.writer_id IN ({marks}) THEN 'lost' ELSE runs.status END"
