"""What can be found without a model: lines that match rules, files that change and break often, functions that are complex."""

from __future__ import annotations

import asyncio
import fnmatch
import math
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import PurePosixPath
from typing import Any

import yaml

from composite_llm import InvalidOption
from composite_llm.work.errors import PathRefused, SandboxUnavailable
from composite_llm.work.secrets import without_secrets
from composite_llm.work.tools.files import FileTools
from composite_llm.work.tools.runner import run_in_sandbox

Found = list[dict[str, Any]]
Scan = Callable[[FileTools, Mapping[str, Any]], Awaitable[Found]]

_LOOP = re.compile(r"^\s*(?:async\s+)?(?:for|while|foreach|loop)\b|\.(?:forEach|each|map)\(")
_FIXES = re.compile(r"\b(fix(e[sd])?|bug|hotfix|regression|crash|broken|revert)\b", re.IGNORECASE)
_CODE = re.compile(r".*\.(py|js|jsx|ts|tsx|java|go|rb|php|c|h|cc|cpp|cs|rs|swift|kt|scala|lua)$", re.IGNORECASE)
_AROUND = 6
_LONGEST_LINE = 1000


@dataclass(frozen=True, slots=True)
class Rule:
    """A pattern that is worth a look: `loop` means only within so many loops."""

    id: str
    title: str
    severity: str
    pattern: re.Pattern[str]
    files: tuple[str, ...] = ("*",)
    confidence: float = 0.5
    loop: int = 0
    without: re.Pattern[str] | None = None


def rules_of(name: str) -> list[Rule]:
    """The rules that ship under a name."""
    text = resources.files(__package__).joinpath("rules", f"{name}.yaml").read_text(encoding="utf-8")
    rules = []
    for entry in yaml.safe_load(text):
        without = re.compile(entry.pop("without")) if "without" in entry else None
        files = tuple(entry.pop("files", ["*"]))
        rules.append(Rule(pattern=re.compile(entry.pop("pattern")), files=files, without=without, **entry))
    return rules


async def scan_rules(files: FileTools, options: Mapping[str, Any]) -> Found:
    """Lines that match the rules, with some lines around them as evidence."""
    rules = rules_of(str(options["rules"]))
    return await asyncio.to_thread(lambda: [hit for name, text in _texts(files) for hit in _hits(name, text, rules)])


def _hits(name: str, text: str, rules: list[Rule]) -> Iterator[dict[str, Any]]:
    fitting = [rule for rule in rules if any(fnmatch.fnmatch(PurePosixPath(name).name, glob) for glob in rule.files)]
    lines = text.splitlines()
    depths = _loop_depths(lines) if any(rule.loop for rule in fitting) else [0] * len(lines)
    for number, line in enumerate(lines, 1):
        if len(line) > _LONGEST_LINE:
            continue
        for rule in fitting:
            within = depths[number - 1] >= rule.loop
            if within and rule.pattern.search(line) and not (rule.without and rule.without.search(line)):
                yield {
                    "file": name,
                    "line": number,
                    "rule": rule.id,
                    "title": rule.title,
                    "severity": rule.severity,
                    "confidence": rule.confidence,
                    "evidence": without_secrets(line.strip()),
                    "context": _numbered(lines, number - _AROUND, number + _AROUND),
                }


def _loop_depths(lines: list[str]) -> list[int]:
    """In how many loops each line is, going by indentation, which code of every language has."""
    depths, loops = [], list[int]()
    for line in lines:
        indent = len(line) - len(line.lstrip())
        if line.strip() and line.strip()[0] not in "})]":
            while loops and indent <= loops[-1]:
                loops.pop()
        depths.append(len(loops))
        if _LOOP.search(line) and not line.strip().startswith(("#", "//", "*")):
            loops.append(indent)
    return depths


async def scan_risk(files: FileTools, options: Mapping[str, Any]) -> Found:
    """The files that were changed and mended most, each with its most complex function, the riskiest first."""
    changes, mended, churn = await _history(files)
    complexity = await asyncio.to_thread(
        lambda: {name: _worst_function(name, text) for name, text in _texts(files) if _CODE.match(name)}
    )
    found = []
    for name, (value, function, first, last, code) in complexity.items():
        score = (1 + changes[name] + 3 * mended[name] + math.log1p(churn[name])) * math.sqrt(1 + value)
        history = f"{mended[name]} of {changes[name]} changes within a year were fixes, {churn[name]} lines changed"
        found.append(
            {
                "file": name,
                "line": first,
                "rule": "risk/change-and-complexity",
                "title": f"{function or name} is likely to have bugs",
                "severity": "medium" if mended[name] else "low",
                "confidence": round(min(0.9, score / (score + 40)), 2),
                "evidence": f"{history}; {function or 'its longest part'} has a complexity of {value} in lines {first} to {last}",
                "context": code,
                "score": round(score, 2),
            }
        )
    return sorted(found, key=lambda one: (-one["score"], one["file"]))


async def _history(files: FileTools) -> tuple[Counter[str], Counter[str], Counter[str]]:
    """By file: commits, commits that mend something, and changed lines, of a year; nothing where there is no git."""
    command = ["git", "-c", "safe.directory=*", "-c", "core.quotePath=off", "log", "--since=1 year ago", "--no-merges"]
    command += ["--no-renames", "--no-show-signature", "--numstat", "--format=%x01%s"]
    changes, mended, churn = Counter[str](), Counter[str](), Counter[str]()
    try:
        done = await run_in_sandbox(files.root, command, output_bytes=20_000_000)
    except (SandboxUnavailable, OSError):
        return changes, mended, churn
    mends = False
    for line in done.output.splitlines() if done.exit_code == 0 else ():
        if line.startswith("\x01"):
            mends = _FIXES.search(line) is not None
        elif (parts := line.split("\t")) and len(parts) == 3 and parts[0].isdigit() and parts[1].isdigit():
            changes[parts[2]] += 1
            mended[parts[2]] += mends
            churn[parts[2]] += int(parts[0]) + int(parts[1])
    return changes, mended, churn


def _worst_function(name: str, text: str) -> tuple[int, str, int, int, str]:
    """Complexity, name, lines and code of a file's most complex function."""
    import lizard

    lines = text.splitlines()
    try:
        functions = lizard.analyze_file.analyze_source_code(name, text).function_list
    except Exception:  # noqa: BLE001  # its parsers give up in many ways on code that is none
        functions = []
    if not functions:
        return 0, "", 1, len(lines), _numbered(lines, 1, 60)
    worst = max(functions, key=lambda one: one.cyclomatic_complexity)
    first, last = worst.start_line, worst.end_line
    return worst.cyclomatic_complexity, worst.name, first, last, _numbered(lines, first, min(last, first + 120))


def _texts(files: FileTools) -> Iterator[tuple[str, str]]:
    for name in files.files():
        try:
            yield name, files.text(name)
        except PathRefused:
            continue


def _numbered(lines: list[str], first: int, last: int) -> str:
    start = max(1, first)
    # A result is kept and told, so what looks like a secret does not get into it.
    shown = without_secrets("\n".join(lines[start - 1 : last])).split("\n")
    return "\n".join(f"{number}: {line[:400]}" for number, line in enumerate(shown, start))


SCANS: dict[str, Scan] = {"rules": scan_rules, "risk": scan_risk}


async def scanned(files: FileTools, options: Mapping[str, Any]) -> Found:
    """What the scan that is named finds.

    Raises:
        InvalidOption: There is none of that name.
    """
    for name, scan in SCANS.items():
        if name in options:
            return await scan(files, options)
    raise InvalidOption("scan", f"got {sorted(options)}", allowed=", ".join(SCANS))
