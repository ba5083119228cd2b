"""`composite config check`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from composite_llm.cli.exits import USAGE, misuse
from composite_llm.cli.loading import load
from composite_llm.cli.output import Json, print_json

if TYPE_CHECKING:
    from composite_llm.config.problems import Problem


def check(
    file: Annotated[
        Path | None, typer.Argument(help="The file.", metavar="FILE", show_default="composite.yaml")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what is wrong with a configuration file, each mistake with its line and column.

    A file with a `model_list` is the configuration of a LiteLLM proxy: its composites are checked, with the files that it
    includes.
    """
    from composite_llm.config.profiles import default_path
    from composite_llm.proxy.config.file import is_proxy_file

    path = file or default_path()
    if path is None:
        misuse("there is no composite.yaml here; name a file")
    checked = _proxy_file(path) if is_proxy_file(path) else _profiles(path)
    if as_json:
        print_json([_as_json(problem) for problem in checked.problems])
    else:
        for problem in checked.problems:
            where = f":{problem.place.line}:{problem.place.column}" if problem.place else ""
            print(f"{problem.source}{where}: {problem.message}")
    if checked.problems:
        raise typer.Exit(USAGE)
    if not as_json:
        print(f"{path}: {checked.content}, no mistakes")
        for note in checked.notes:
            print(note, file=sys.stderr)


@dataclass(frozen=True)
class _Found:
    """What was found, and what the file holds."""

    problems: Sequence[Problem]
    content: str
    notes: Sequence[str] = ()


def _profiles(path: Path) -> _Found:
    from composite_llm.config.checked_file import problems_of_file, variables_in
    from composite_llm.config.profiles import load_profiles

    problems = problems_of_file(path)
    if problems:
        return _Found(problems, "")
    unset = [name for name in variables_in(path) if name not in os.environ]
    notes = [f"not set here: {', '.join(unset)}"] if unset else []
    return _Found((), _counted(len(load_profiles(path).by_name), "profile"), notes)


def _proxy_file(path: Path) -> _Found:
    load({})
    from composite_llm.proxy.config.check import checked_proxy_file

    checked = checked_proxy_file(path)
    listed = checked.file.listed if checked.file is not None else ()
    composites = sum(entry.is_composite for entry in listed)
    content = f"{_counted(len(listed), 'deployment')}, {_counted(composites, 'composite')} among them"
    return _Found(checked.problems, content, [str(note.error()) for note in checked.notes])


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number != 1 else ''}"


def _as_json(problem: Problem) -> dict[str, Any]:
    place = problem.place
    return {
        "file": problem.source,
        "line": place.line if place else None,
        "column": place.column if place else None,
        "deployment": problem.deployment,
        "message": problem.message,
    }
