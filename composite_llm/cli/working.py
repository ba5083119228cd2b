"""Who answers in the commands that work: one model for everything, or one for each tier."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from composite_llm.cli.exits import misuse

if TYPE_CHECKING:
    from composite_llm.work import Executor

TIERS = ("cheap", "capable", "premium")

WorkModelOption = Annotated[
    str | None, typer.Option("--model", "-m", help="The model for all tiers: a model string, a composite too.")
]
TierOption = Annotated[
    list[str] | None,
    typer.Option("--tier", metavar="TIER=MODEL", help="The model of one tier: cheap, capable or premium."),
]


@contextlib.contextmanager
def executor(
    model: str | None, tiers: Sequence[str] | None, config: Path | None, *, offline: bool
) -> Iterator[Executor]:
    """An executor with these models, and LiteLLM loaded.

    Raises:
        Misused: A tier is not written as TIER=MODEL, or there is neither a model nor a key.
    """
    from composite_llm.cli.loading import load
    from composite_llm.cli.offline import FINAL, models
    from composite_llm.cli.target import target_of

    by_tier = dict(_pair(text) for text in tiers or ())
    with models(offline=offline) as at:
        load(at.config(config))
        from composite_llm.work import Executor

        default = model or (FINAL if offline else by_tier.get("capable"))
        if default is None:
            default = target_of(None, None, None, None, None).model.split("/", 2)[-1]
        yield Executor(default, tiers={**dict.fromkeys(TIERS, default), **by_tier})


def _pair(text: str) -> tuple[str, str]:
    tier, equals, model = text.partition("=")
    if not equals or not tier or not model:
        misuse(f"--tier {text}: write TIER=MODEL")
    return tier, model
