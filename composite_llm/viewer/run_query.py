"""What a list of runs is asked for: the filters and the page in its address."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, get_args
from urllib.parse import urlencode

from composite_llm.observe.records import RunStatus

PER_PAGE = 50
SINCE: Mapping[str, timedelta] = {
    "1h": timedelta(hours=1),
    "24h": timedelta(days=1),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}
STATUSES: tuple[RunStatus, ...] = get_args(RunStatus)
TEXTS = ("model", "profile", "user", "session", "project")
_LONGEST = 200
_LAST_PAGE = 1_000_000


@dataclass(frozen=True, slots=True)
class RunQuery:
    """One list. What an address says that no filter knows is not asked for.

    Attributes:
        since: A key of `SINCE`.
        status: How the runs stand.
        page: From 1.
    """

    since: str | None = None
    status: RunStatus | None = None
    model: str | None = None
    profile: str | None = None
    user: str | None = None
    session: str | None = None
    project: str | None = None
    page: int = 1

    @property
    def filtered(self) -> bool:
        """Whether some runs may be left out."""
        return any(getattr(self, name) is not None for name in ("since", "status", *TEXTS))

    def query(self, now: datetime) -> dict[str, Any]:
        """The arguments of `TraceStore.runs`, for one run more than a page holds."""
        since = None if self.since is None else now - SINCE[self.since]
        texts = {name: getattr(self, name) for name in TEXTS}
        offset = (self.page - 1) * PER_PAGE
        return {"since": since, "status": self.status, **texts, "limit": PER_PAGE + 1, "offset": offset}

    def address(self, page: int) -> str:
        """The address of another page of the same list."""
        values = {name: getattr(self, name) for name in ("since", "status", *TEXTS)}
        chosen = {name: value for name, value in values.items() if value is not None}
        run_query = urlencode({**chosen, **({"page": page} if page > 1 else {})})
        return f"/?{run_query}" if run_query else "/"


def run_query_of(address: Mapping[str, str]) -> RunQuery:
    """What the address of a list asks for."""
    texts: dict[str, Any] = {name: address[name].strip()[:_LONGEST] or None for name in TEXTS if name in address}
    since, status, page = address.get("since"), address.get("status"), address.get("page", "")
    number = int(page) if page.isascii() and page.isdigit() and len(page) < 8 else 1
    query = RunQuery(**texts, page=min(max(number, 1), _LAST_PAGE))
    if since in SINCE:
        query = replace(query, since=since)
    for known_status in STATUSES:
        if known_status == status:
            query = replace(query, status=known_status)
    return query


def present() -> datetime:
    """The present, UTC."""
    return datetime.now(UTC)
