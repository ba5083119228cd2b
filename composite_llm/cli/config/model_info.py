"""`composite config model-info`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from composite_llm.cli.completing import complete_profile
from composite_llm.cli.loading import load
from composite_llm.cli.output import Json, print_json
from composite_llm.cli.target import ConfigOption
from composite_llm.model.model_strings import is_composite_model, profile_model


def model_info(
    profile: Annotated[
        str,
        typer.Argument(help="A profile, or a composite/… string.", metavar="PROFILE", autocompletion=complete_profile),
    ],
    config: ConfigOption = None,
    proxy: Annotated[
        Path | None,
        typer.Option(help="A LiteLLM proxy's configuration; PROFILE is then a composite of its model_list."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Print the model_info of a proxy's deployment: windows, worst-case prices, what the nodes support.

    A price per token is what a token of the caller's costs at worst: each call reads the conversation, and later calls
    the answers of earlier ones.
    """
    import yaml

    load(config)
    from composite_llm.provider.capabilities import model_info as info_of
    from composite_llm.runtime import services

    known = services()
    if proxy is not None:
        from composite_llm.provider.deployment_info import deployment_info

        info = deployment_info(proxy, profile, known.profiles)
    else:
        model = profile if is_composite_model(profile) else profile_model(profile)
        info = info_of(model, known.facts, known.profiles)
    if as_json:
        print_json({"model_info": info})
        return
    print(yaml.safe_dump({"model_info": info}, sort_keys=False), end="")
    if "input_cost_per_token" not in info:
        print("without prices: LiteLLM has none for at least one of its models", file=sys.stderr)
