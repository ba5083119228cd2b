"""Whether there is a telemetry store, and which: from `register`, the environment and the configuration."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from composite_llm.config.checking import checked, shown
from composite_llm.model.errors import InvalidOption
from composite_llm.model.near_misses import near_miss
from composite_llm.observe.telemetry_settings import TelemetrySettings, path_in_environment

_KEYS = tuple(TelemetrySettings.model_fields)


def configured_telemetry(given: Any) -> TelemetrySettings | None:
    """What `telemetry` in a configuration, or `register(telemetry=…)`, says: on, off, a path, or settings.

    Raises:
        InvalidOption: It says something else; the key begins with `telemetry`.
    """
    match given:
        case None | False:
            return None
        case True:
            return TelemetrySettings()
        case str() | os.PathLike():
            return checked(TelemetrySettings, {"path": given}, path="telemetry")
        case TelemetrySettings():
            return given
        case Mapping():
            _check_keys(given)
            return checked(TelemetrySettings, given, path="telemetry")
        case _:
            raise InvalidOption(
                "telemetry",
                f"got {shown('telemetry', given)}",
                allowed=f"true, a path, or {', '.join(_KEYS)}",
                value=given,
            )


def _check_keys(given: Mapping[Any, Any]) -> None:
    for key in given:
        if key not in _KEYS:
            meant = near_miss(str(key), _KEYS)
            hint = f"; did you mean '{meant}'?" if meant else ""
            raise InvalidOption(f"telemetry.{key}", f"unknown key{hint}", allowed=", ".join(_KEYS))


def telemetry_settings(given: Any, configured: TelemetrySettings | None) -> TelemetrySettings | None:
    """The settings that hold: those of `register`, else the environment's over the configuration's.

    Args:
        given: As `register` got it; None says nothing.
        configured: Of the configuration's file.

    Raises:
        InvalidOption: As `configured_telemetry`.
    """
    if given is not None and given is not True:
        return configured_telemetry(given)
    named = path_in_environment()
    if isinstance(named, Path):
        base = configured.model_dump(exclude={"path"}) if configured is not None else {}
        return checked(TelemetrySettings, {**base, "path": named}, path="COMPOSITE_LLM_TELEMETRY")
    if named is False and given is None:
        return None
    return configured or (TelemetrySettings() if given or named else None)
