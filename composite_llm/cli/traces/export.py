"""`composite traces export`: a run's trace as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from composite_llm.cli.exits import fail
from composite_llm.cli.output import print_json
from composite_llm.cli.store_file import StoreOption, store_failures, store_of
from composite_llm.cli.traces.show import IdArgument


def export(
    run_id: IdArgument,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Where to write it.", show_default="standard output"),
    ] = None,
    store: StoreOption = None,
) -> None:
    """Print a run's trace as JSON, as far as it was kept."""
    with store_failures():
        trace = store_of(store).trace(run_id)
    if output is None:
        print_json(trace)
        return
    try:
        output.write_text(trace.model_dump_json(indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        fail(f"{output}: {error.strerror}")
