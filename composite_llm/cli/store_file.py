"""Which telemetry store a command looks into."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from composite_llm.cli.exits import fail

if TYPE_CHECKING:
    from composite_llm.observe.store import TraceStore
    from composite_llm.observe.telemetry_settings import TelemetrySettings

StoreOption = Annotated[
    Path | None,
    typer.Option("--store", metavar="FILE", help="The telemetry store.", show_default="where telemetry is configured"),
]


def store_of(path: Path | None) -> TraceStore:
    """The store in that file; for None the one that runs in this directory would write into.

    Raises:
        InvalidConfig: The configuration cannot be read.
    """
    from composite_llm.observe.store import TraceStore

    return TraceStore(path if path is not None else settings_here().path)


def settings_here() -> TelemetrySettings:
    """What telemetry in this directory is set to, or would be if it were on.

    Raises:
        InvalidConfig: The configuration cannot be read.
    """
    from composite_llm.config.profiles import load_profiles
    from composite_llm.config.telemetry_section import telemetry_settings
    from composite_llm.observe.telemetry_settings import TelemetrySettings

    # True: a store that is switched off now may have been written before.
    return telemetry_settings(True, load_profiles().sections.get("telemetry")) or TelemetrySettings()


@contextlib.contextmanager
def store_failures() -> Iterator[None]:
    """What goes wrong with a store, as the command says it.

    Raises:
        Failed: The file cannot be used, or has no such run.
    """
    from composite_llm.observe.store import StoreUnavailable, UnknownRun

    try:
        yield
    except StoreUnavailable as error:
        hint = "; has telemetry been on? register(telemetry=True) or COMPOSITE_LLM_TELEMETRY turns it on"
        fail(f"{error}{hint if 'no such file' in str(error) else ''}")
    except UnknownRun as error:
        fail(f"{error}; 'composite traces list' shows their ids")
