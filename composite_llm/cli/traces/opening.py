"""`composite traces open`: a past run as a page."""

from __future__ import annotations

import os
import tempfile
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from composite_llm.cli.store_file import StoreOption, store_failures, store_of
from composite_llm.cli.traces.show import IdArgument


def open_run(
    run_id: IdArgument,
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE", help="Where the page is written.", show_default="a temporary file"),
    ] = None,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Show it in the browser, or only write it.")
    ] = True,
    store: StoreOption = None,
) -> None:
    """Show one run as a page in the browser."""
    from composite_llm.picture import page
    from composite_llm.viewer.page_context import page_context_of

    with store_failures():
        traces = store_of(store)
        run = traces.run(run_id)
        html = page(traces.trace(run.id), context=page_context_of(run))
    path = (output or _temporary_file(run.id)).absolute()
    path.write_text(html, encoding="utf-8")
    print(path)
    if browser:
        webbrowser.open(path.as_uri())


def _temporary_file(run_id: str) -> Path:
    """A file that only its owner can read; it stays, since the browser reads it when this process is gone."""
    handle, name = tempfile.mkstemp(prefix=f"composite-run-{run_id[:8]}-", suffix=".html")
    os.close(handle)
    return Path(name)
