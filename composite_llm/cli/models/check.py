"""`composite models check`."""

from __future__ import annotations

from typing import Annotated

import typer

from composite_llm.cli.completing import complete_profile
from composite_llm.cli.exits import FAILED
from composite_llm.cli.loading import load
from composite_llm.cli.output import Json, print_json
from composite_llm.cli.target import ConfigOption


def check(
    profile: Annotated[
        str,
        typer.Argument(help="A profile, or a composite/… string.", metavar="PROFILE", autocompletion=complete_profile),
    ],
    config: ConfigOption = None,
    as_json: Json = False,
) -> None:
    """Ask the endpoints of a profile whether they serve its models; costs nothing.

    Endpoints that a node names or that LiteLLM has in its table are asked; others are taken on trust.
    """
    load(config)
    import composite_llm

    problems = composite_llm.check(profile)
    if as_json:
        print_json(problems)
    else:
        print("\n".join(problems) or f"{profile}: nothing speaks against it")
    if problems:
        raise typer.Exit(FAILED)
