"""Where the telemetry store is and what it keeps."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, field_validator

from composite_llm.model.documented import describe_fields

Privacy = Literal["metadata", "preview", "full"]

TELEMETRY_VARIABLE = "COMPOSITE_LLM_TELEMETRY"


def state_folder() -> Path:
    """`composite_llm` in the user's directory for state that outlasts a program (XDG); it may not be there yet."""
    state = os.environ.get("XDG_STATE_HOME") or ""
    # The specification has relative paths ignored.
    base = Path(state) if Path(state).is_absolute() else Path.home() / ".local" / "state"
    return base / "composite_llm"


def default_path() -> Path:
    """`traces.db` in the folder for state."""
    return state_folder() / "traces.db"


class TelemetrySettings(BaseModel):
    """The telemetry store of a process."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra=describe_fields)

    path: Path = Field(default_factory=default_path)
    """The SQLite file; several processes may share it, on one machine."""
    privacy: Privacy = "metadata"
    """What is kept of prompts and answers: nothing, the first 200 characters, or all."""
    max_age_days: PositiveFloat | None = 90.0
    """Runs older than that are removed; none for no limit. Their sums stay."""
    max_size_mb: PositiveFloat | None = 500.0
    """The oldest runs are removed when the file holds more; none for no limit. Their sums stay."""

    @field_validator("path")
    @classmethod
    def _at_home(cls, path: Path) -> Path:
        if path.is_dir():
            message = f"a file, not the directory {path}"
            raise ValueError(message)
        # Absolute, so that a later change of the working directory changes nothing.
        return Path(os.path.abspath(path.expanduser()))  # `resolve` would follow the links


def path_in_environment() -> Path | bool | None:
    """What `COMPOSITE_LLM_TELEMETRY` says: a path, on, off, or nothing."""
    value = os.environ.get(TELEMETRY_VARIABLE, "").strip()
    word = value.lower()
    if word in ("", "1", "true", "on", "yes"):
        return True if value else None
    return False if word in ("0", "false", "off", "no") else Path(value)
