"""`composite costs`: what runs cost."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from composite_llm.cli.moment import SinceOption, since
from composite_llm.cli.output import Json, print_json
from composite_llm.cli.store_file import StoreOption, store_failures, store_of
from composite_llm.cli.sums import as_json as sums_as_json
from composite_llm.cli.sums import print_sums, total_of


class By(StrEnum):
    """What costs are added up by."""

    model = "model"
    provider = "provider"
    profile = "profile"
    day = "day"
    key = "key"


def costs(
    by: Annotated[By, typer.Option(help="What to add up by; days are UTC's.")] = By.model,
    since_text: Annotated[str | None, SinceOption] = None,
    store: StoreOption = None,
    as_json: Json = False,
) -> None:
    """Add up what runs cost, by model, provider, profile, day or key."""
    with store_failures():
        rows = store_of(store).costs(by.value, since=since(since_text))
    if as_json:
        print_json(sums_as_json(rows))
    else:
        print_sums(by.value, rows, total_of(rows))
