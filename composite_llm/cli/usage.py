"""`composite usage`: what was used of the models."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from composite_llm.cli.moment import SinceOption, since
from composite_llm.cli.output import Json, print_json
from composite_llm.cli.store_file import StoreOption, store_failures, store_of
from composite_llm.cli.sums import as_json as sums_as_json
from composite_llm.cli.sums import print_sums


class By(StrEnum):
    """What usage is added up by."""

    backend = "backend"
    session = "session"
    project = "project"
    all = "all"


def usage(
    by: Annotated[By, typer.Option(help="What to add up by; a backend is a model that was asked.")] = By.backend,
    since_text: Annotated[str | None, SinceOption] = None,
    store: StoreOption = None,
    as_json: Json = False,
) -> None:
    """Add up calls, tokens, errors and costs, by model, session or project, and for all time."""
    began = since(since_text)
    with store_failures():
        traces = store_of(store)
        rows, total = traces.usage(by.value, since=began), traces.usage("all", since=began)
    if as_json:
        print_json(sums_as_json(rows))
        return
    whole = "all time" if began is None else f"since {began:%Y-%m-%d %H:%M} UTC"
    named = [row.model_copy(update={"group": whole}) for row in total]
    print_sums(by.value, named if by is By.all else rows, None if by is By.all or not named else named[0])
