"""`composite config show`."""

from __future__ import annotations

from typing import Annotated

import typer

from composite_llm.cli.completing import complete_profile
from composite_llm.cli.output import Json, print_json
from composite_llm.cli.target import ConfigOption


def show(
    profile: Annotated[str, typer.Argument(help="A profile.", metavar="PROFILE", autocompletion=complete_profile)],
    config: ConfigOption = None,
    as_json: Json = False,
) -> None:
    """Show a profile with every default filled in and secrets masked."""
    import yaml

    from composite_llm.config.profiles import load_profiles
    from composite_llm.config.resolved import resolved_profile

    resolved = resolved_profile(load_profiles(config).find(profile))
    if as_json:
        print_json(resolved)
    else:
        print(yaml.safe_dump({profile: resolved}, sort_keys=False, allow_unicode=True, width=100), end="")
