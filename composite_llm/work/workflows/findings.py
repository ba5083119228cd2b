"""What an audit found: checked, and written for people, code scanners and CI."""

from __future__ import annotations

import hashlib
import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from composite_llm.work.secrets import without_secrets

Severity = Literal["critical", "high", "medium", "low", "info"]
SEVERITIES: tuple[Severity, ...] = ("critical", "high", "medium", "low", "info")
_LEVELS = {"critical": "error", "high": "error", "medium": "warning", "low": "note", "info": "note"}


class Finding(BaseModel):
    """One thing that somebody should look at; what looks like a secret is hidden in all of its texts."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    file: str
    line: int = Field(1, ge=1)
    rule: str
    title: str
    severity: Severity
    confidence: float = Field(0.5, ge=0, le=1)
    evidence: str = ""
    reason: str = ""
    fix: str = ""

    @field_validator("confidence", mode="before")
    @classmethod
    def _between_0_and_1(cls, value: Any) -> Any:
        """Small models answer in percent, or beyond what there is."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return value
        return min(1.0, max(0.0, value / 100 if 1 < value <= 100 else value))

    @field_validator("title", "evidence", "reason", "fix")
    @classmethod
    def _hidden(cls, text: str) -> str:
        return without_secrets(text)[:4000]


def checked_findings(values: Iterable[Any]) -> tuple[list[Finding], int]:
    """The findings among some values, the most severe first and else in their order, and how many were none."""
    found, wrong = [], 0
    for value in values:
        try:
            found.append(Finding.model_validate(value))
        except ValidationError:
            wrong += 1
    return sorted(found, key=lambda one: (SEVERITIES.index(one.severity), -one.confidence)), wrong


def at_least(findings: Sequence[Finding], severity: Severity) -> list[Finding]:
    """Those of this severity or a worse one."""
    return [one for one in findings if SEVERITIES.index(one.severity) <= SEVERITIES.index(severity)]


def sarif(name: str, findings: Sequence[Finding], version: str) -> dict[str, Any]:
    """The findings as a SARIF 2.1.0 document."""
    rules = {one.rule: {"id": one.rule, "shortDescription": {"text": one.title}} for one in findings}
    driver = {
        "name": f"composite {name}",
        "version": version,
        "informationUri": "https://pypi.org/project/composite-llm/",
        "rules": list(rules.values()),
    }
    results = [_result(one, list(rules).index(one.rule)) for one in findings]
    schema = "https://json.schemastore.org/sarif-2.1.0.json"
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return {"$schema": schema, "version": "2.1.0", "runs": [run]}


def _result(one: Finding, rule: int) -> dict[str, Any]:
    print_of = hashlib.sha256(f"{one.rule}\0{one.file}\0{' '.join(one.evidence.split())}".encode()).hexdigest()
    place = {
        "artifactLocation": {"uri": quote(one.file), "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": one.line, **({"snippet": {"text": one.evidence}} if one.evidence else {})},
    }
    return {
        "ruleId": one.rule,
        "ruleIndex": rule,
        "level": _LEVELS[one.severity],
        "message": {"text": " ".join(part for part in (one.title + ".", one.reason, one.fix) if part)},
        "locations": [{"physicalLocation": place}],
        "partialFingerprints": {"composite/v1": print_of},
        "properties": {"severity": one.severity, "confidence": one.confidence, "fix": one.fix},
    }


def markdown(
    name: str, findings: Sequence[Finding], notes: Sequence[str] = (), totals: Mapping[str, Any] | None = None
) -> str:
    """The findings as a page."""
    lines = [f"# {name}", ""]
    if totals:
        lines += [" · ".join(f"{key}: {value}" for key, value in totals.items()), ""]
    lines += [*(f"> {_plain(note)}" for note in notes), *([""] if notes else [])]
    if not findings:
        return "\n".join([*lines, "Nothing was found.", ""])
    lines += ["| severity | place | what | confidence |", "|---|---|---|---|"]
    for one in findings:
        lines.append(
            f"| {one.severity} | `{_code(one.file)}:{one.line}` | {_plain(one.title)} | {one.confidence:.0%} |"
        )
    for one in findings:
        lines += [
            "",
            f"## {_plain(one.title)}",
            "",
            f"`{_code(one.file)}:{one.line}`, {one.severity}, rule `{_code(one.rule)}`",
            "",
        ]
        for text in (one.evidence,):
            lines += [_fence(text)] if text.strip() else []
        lines += ["", _plain(one.reason)] if one.reason else []
        lines += ["", "**Fix**", "", _fence(one.fix) if "\n" in one.fix else _plain(one.fix)] if one.fix else []
    return "\n".join([*lines, ""])


def _plain(text: str) -> str:
    """Text that cannot become markup, a table's cell or another heading."""
    flat = html.escape(" ".join(text.split()), quote=False)
    return "".join(f"\\{char}" if char in "\\`*_[]|#!~" else char for char in flat)


def _code(text: str) -> str:
    return " ".join(text.split()).replace("`", "'").replace("|", "\\|")


def _fence(text: str) -> str:
    mark = "```"
    while mark in text:
        mark += "`"
    return f"{mark}\n{text.rstrip()}\n{mark}"
