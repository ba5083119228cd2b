"""`composite traces serve`: past runs, and those under way, in the browser."""

from __future__ import annotations

from typing import Annotated

import typer

from composite_llm.cli.exits import fail, misuse
from composite_llm.cli.store_file import StoreOption, store_of


def serve(
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Where it listens; 0 takes one that is free.")
    ] = 8765,
    host: Annotated[
        str, typer.Option("--host", help="An address of this machine that only it can reach.")
    ] = "127.0.0.1",
    store: StoreOption = None,
) -> None:
    """Serve the list of runs and a page of each, on this machine alone."""
    import asyncio

    from composite_llm.viewer.hosts import is_loopback

    if not is_loopback(host):
        # It asks for no password, and may show prompts and answers.
        misuse(f"--host {host}: only a loopback address, such as 127.0.0.1, ::1 or localhost")
    from composite_llm.viewer.server import serve_until_stopped

    traces = store_of(store)
    try:
        asyncio.run(serve_until_stopped(traces, host, port, lambda address: _say(address, str(traces.path))))
    except OSError as error:
        fail(f"--port {port}: {error.strerror or error}")


def _say(address: str, path: str) -> None:
    print(f"Runs of {path} at {address} (Ctrl-C ends)", flush=True)
