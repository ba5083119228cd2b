"""`composite config check`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from composite_llm.cli.exits import USAGE, misuse
from composite_llm.cli.output import Json, print_json


def check(
    file: Annotated[
        Path | None, typer.Argument(help="The file.", metavar="FILE", show_default="composite.yaml")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what is wrong with a configuration file, each mistake with its line and column."""
    from composite_llm.config.checked_file import problems_of_file, variables_in
    from composite_llm.config.profiles import default_path, load_profiles

    path = file or default_path()
    if path is None:
        misuse("there is no composite.yaml here; name a file")
    problems = problems_of_file(path)
    if as_json:
        print_json(
            [
                {
                    "file": problem.source,
                    "line": problem.place.line if problem.place else None,
                    "column": problem.place.column if problem.place else None,
                    "message": problem.message,
                }
                for problem in problems
            ]
        )
    else:
        for problem in problems:
            where = f":{problem.place.line}:{problem.place.column}" if problem.place else ""
            print(f"{problem.source}{where}: {problem.message}")
    if problems:
        raise typer.Exit(USAGE)
    if not as_json:
        count = len(load_profiles(path).by_name)
        print(f"{path}: {count} profile{'s' if count != 1 else ''}, no mistakes")
        unset = [name for name in variables_in(path) if name not in os.environ]
        if unset:
            print(f"not set here: {', '.join(unset)}", file=sys.stderr)
