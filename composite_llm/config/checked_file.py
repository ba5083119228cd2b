"""A configuration file checked as far as can be without a call: each profile, and what profiles say of each other."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from composite_llm.config.plan import make_plan
from composite_llm.config.problems import Problem, problems_in, profiles_in
from composite_llm.config.profiles import Profile, Profiles, load_profiles
from composite_llm.config.yaml_source import Source, UnreadableConfig, read_source
from composite_llm.model.errors import CompositeError, InvalidOption
from composite_llm.model.model_strings import profile_model

_FROM_ENVIRONMENT = re.compile(r"os\.environ/(\w+)")


def problems_of_file(path: Path) -> list[Problem]:
    """Every mistake in a file, in the order of the file."""
    try:
        source = read_source(path)
    except UnreadableConfig as error:
        return [Problem(str(path), error.place, error.problem)]
    problems = list(problems_in(source)) or list(_problems_between(source, load_profiles(path)))
    return sorted(problems, key=lambda problem: (problem.place.line, problem.place.column) if problem.place else (0, 0))


def variables_in(path: Path) -> list[str]:
    """The environment variables that a file names.

    Raises:
        UnreadableConfig: The file cannot be read.
    """
    return sorted({name for text in _texts(read_source(path).content) for name in _FROM_ENVIRONMENT.findall(text)})


def _problems_between(source: Source, profiles: Profiles) -> Iterator[Problem]:
    """Unknown profiles and personas, cycles, a quorum that no stage can meet, a missing final model."""
    prefix, _ = profiles_in(source.content)
    known = Profiles({name: _without_environment(profile) for name, profile in profiles.by_name.items()})
    for name in known.by_name:
        try:
            make_plan(profile_model(name), {}, known)
        except CompositeError as error:
            inside = tuple(error.key.split(".")) if isinstance(error, InvalidOption) else ()
            place = source.place((*prefix, name, *inside))
            yield Problem(source.name, place, f"{'.'.join((*prefix, name))}: {error.message}")


def _without_environment(profile: Profile) -> Profile:
    """A file is checked where its keys are not: in an editor, or in CI."""
    kept = {key: value for key, value in profile.parameters.items() if not any(map(_names_variable, _texts(value)))}
    return replace(profile, parameters=kept)


def _names_variable(text: str) -> bool:
    return _FROM_ENVIRONMENT.match(text) is not None


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)
