"""`composite models`: the list, and one file per command."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from composite_llm.cli.completing import complete_provider
from composite_llm.cli.exits import misuse
from composite_llm.cli.keys import has_key, names_of_keys
from composite_llm.cli.lazy_group import Entry, new_app
from composite_llm.cli.loading import load
from composite_llm.cli.output import Json, print_json, print_table

if TYPE_CHECKING:
    from composite_llm.provider.known_models import KnownModel

COMMANDS = {
    "check": Entry(
        "composite_llm.cli.models.check:check",
        "Ask the endpoints of a profile whether they serve its models; costs nothing.",
        "composite models check careful --config examples/composite.yaml",
    ),
}
"""Every command beside the list itself."""

app = new_app(COMMANDS, invoke_without_command=True)


@app.callback()
def models(
    context: typer.Context,
    provider: Annotated[
        str | None, typer.Option("--provider", help="Only this provider's.", autocompletion=complete_provider)
    ] = None,
    as_json: Json = False,
) -> None:
    """List the chat models that LiteLLM knows: window, price per million tokens, vision, tools.

    Without --provider, those of the providers whose keys are in the environment; without any key, the providers.
    """
    if context.invoked_subcommand is not None:
        return
    load({})
    from composite_llm.provider.known_models import models_of, providers

    keys = names_of_keys()
    known = providers()
    if provider is not None and provider not in known:
        from composite_llm.model.near_misses import nearest

        misuse(
            f"--provider {provider}: LiteLLM knows no chat model of it; nearest: {', '.join(nearest(provider, known))}"
        )
    wanted = [provider] if provider is not None else [name for name in known if has_key(name)]
    chat_models = models_of(wanted)
    if as_json:
        print_json({"keys": keys, "providers": known, "models": chat_models})
    elif wanted:
        _print_models(chat_models)
    else:
        print_table(
            ("PROVIDER", "CHAT MODELS"), [(name, str(count)) for name, count in known.items()], right=("CHAT MODELS",)
        )
    if not as_json:
        # Names only: a value belongs on no screen.
        print(f"Keys set here: {', '.join(keys) if keys else 'none'}", file=sys.stderr)


def _print_models(models: list[KnownModel]) -> None:
    numbers = ("WINDOW", "$/M IN", "$/M OUT")
    print_table(
        ("MODEL", *numbers, "VISION", "TOOLS"),
        [
            (
                row.model,
                "" if row.window is None else str(row.window),
                _price(row.input_usd_per_million),
                _price(row.output_usd_per_million),
                "yes" if row.vision else "",
                "yes" if row.tools else "",
            )
            for row in models
        ],
        right=numbers,
    )


def _price(usd: float | None) -> str:
    return "unknown" if usd is None else f"{usd:.2f}"
