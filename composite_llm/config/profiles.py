"""Profiles: named strategies with their options, from a YAML file or a mapping."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from composite_llm.config.checking import checked
from composite_llm.config.options import Options
from composite_llm.config.problems import OWN_KEYS, SECTIONS, problems_in, profiles_in
from composite_llm.config.registry import STRATEGIES
from composite_llm.config.yaml_source import Source, read_source
from composite_llm.model.errors import UnknownProfile
from composite_llm.model.near_misses import nearest

CONFIG_VARIABLE = "COMPOSITE_LLM_CONFIG"
DEFAULT_FILE = "composite.yaml"


@dataclass(frozen=True, slots=True)
class Profile:
    """A named strategy.

    Attributes:
        name: As in `composite/profile/<name>`.
        strategy: Its name.
        model: The final model if the profile names it beside its node settings.
        options: The strategy's options as written, checked.
        parameters: LiteLLM call parameters as written.
    """

    name: str
    strategy: str
    model: str | None
    options: Mapping[str, Any]
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Profiles:
    """One configuration.

    Attributes:
        by_name: All its profiles.
        sections: The settings of each of `SECTIONS` that it has.
    """

    by_name: Mapping[str, Profile] = field(default_factory=dict)
    sections: Mapping[str, Any] = field(default_factory=dict)

    def find(self, name: str) -> Profile:
        """The profile of that name.

        Raises:
            UnknownProfile: with the nearest names.
        """
        if name in self.by_name:
            return self.by_name[name]
        known = ", ".join(repr(near) for near in nearest(name, self.by_name))
        raise UnknownProfile(
            f"profile {name!r} is unknown; " + (f"nearest: {known}" if known else "no profiles are configured")
        )


def load_profiles(config: str | os.PathLike[str] | Mapping[str, Any] | None = None) -> Profiles:
    """Profiles from a path, a mapping or, for None, the default place.

    Raises:
        InvalidConfig: with file, line and key of the first thing wrong.
    """
    if isinstance(config, Mapping):
        return _profiles_of(Source("config", config))
    path = Path(config) if config is not None else default_path()
    return _profiles_of(read_source(path)) if path is not None else Profiles()


def default_path() -> Path | None:
    """The file that is read when none is named: that of `COMPOSITE_LLM_CONFIG`, else `composite.yaml` if it is there."""
    named = os.environ.get(CONFIG_VARIABLE)
    if named:
        return Path(named)
    path = Path(DEFAULT_FILE)
    return path if path.is_file() else None


def _profiles_of(source: Source) -> Profiles:
    for problem in problems_in(source):
        raise problem.error()
    prefix, profiles = profiles_in(source.content)
    sections = source.content if prefix else {}
    return Profiles(
        {str(name): _profile(str(name), body) for name, body in (profiles or {}).items()},
        {str(key): SECTIONS[key](value) for key, value in sections.items() if key in SECTIONS},
    )


def _profile(name: str, body: Mapping[Any, Any]) -> Profile:
    options_type = STRATEGIES[body["strategy"]]
    known = options_type.model_fields
    options = {key: value for key, value in body.items() if key in known}
    return Profile(
        name=name,
        strategy=body["strategy"],
        model=body.get("model") or _final_model(checked(options_type, options)),
        options=options,
        parameters={key: value for key, value in body.items() if key not in known and key not in OWN_KEYS},
    )


def _final_model(options: Options) -> str | None:
    settings = getattr(options, options.final_role)
    return settings.model if settings is not None else None
