"""What a LiteLLM proxy's configuration file says of one of its composites, read without starting the proxy."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import litellm

from composite_llm.backend.litellm_facts import LiteLLMFacts
from composite_llm.backend.litellm_router import RouterInUse
from composite_llm.config.problems import Problem
from composite_llm.config.profiles import Profiles
from composite_llm.config.registry import ALL_OPTIONS
from composite_llm.config.yaml_source import UnreadableConfig
from composite_llm.model.errors import CompositeError, InvalidConfig
from composite_llm.model.near_misses import nearest
from composite_llm.provider.capabilities import model_info
from composite_llm.proxy.config.check import checked_proxy_file
from composite_llm.proxy.config.file import Listed, ProxyFile, read_proxy_file, variable_in

_UNSET = "not-set"


def deployment_info(path: Path, name: str, profiles: Profiles) -> dict[str, Any]:
    """The `model_info` of the deployment `name`, whose nodes may be names of the same file's `model_list`.

    Makes a Router over that list, and no call. The provider must be registered.

    Raises:
        InvalidConfig: The file cannot be read, has no composite of that name, or that one has mistakes: one line each.
        CompositeError: The deployment's options cannot be used.
    """
    file = _read(path)
    entries = {entry.name: entry for entry in file.composites}
    if name not in entries:
        known = ", ".join(nearest(name, entries, most=3)) or "none"
        raise InvalidConfig(f"{path}: model_list has no composite named {name!r}; it has {known}")
    listed = [_entry(listed_model) for listed_model in file.listed]
    with _variables_set(listed):
        params = entries[name].params.value
        options = {key: value for key, value in params.items() if key in ALL_OPTIONS or key in _HOLDERS}
        mistakes = [problem for problem in checked_proxy_file(path).problems if problem.deployment == name]
        facts = LiteLLMFacts(RouterInUse(litellm.Router(model_list=listed)))
        try:
            info = model_info(params["model"], facts, profiles, options)
        except CompositeError as error:
            raise _with_places(error, mistakes) from None
        if mistakes:
            raise _with_places(InvalidConfig(""), mistakes)
        return info


def _with_places(error: CompositeError, mistakes: list[Problem]) -> CompositeError:
    """The error with all mistakes, a line each, in the place of its own."""
    if mistakes:
        error.message = "\n".join(problem.error().message for problem in mistakes)
        error.args = (error.message,)
    return error


def _read(path: Path) -> ProxyFile:
    try:
        file = read_proxy_file(path)
    except UnreadableConfig as error:
        if not error.is_yaml:
            raise InvalidConfig(f"{path}: cannot be read ({error.problem})") from None
        raise InvalidConfig(f"{path}: model_list is not a list of models") from None
    if any(not isinstance(source.content.get("model_list", []), list) for source in file.sources):
        raise InvalidConfig(f"{path}: model_list is not a list of models")
    return file


_HOLDERS = frozenset({"optional_params", "extra_body"})


def _entry(listed: Listed) -> dict[str, Any]:
    return {
        "model_name": listed.name,
        "litellm_params": dict(listed.params.value),
        "model_info": dict(listed.info.value),
    }


@contextlib.contextmanager
def _variables_set(listed: list[dict[str, Any]]) -> Iterator[None]:
    """Give the variables that the list names a value: a Router asks for keys that nobody will use here."""
    unset = [name for name in dict.fromkeys(_variables(listed)) if name not in os.environ]
    os.environ.update(dict.fromkeys(unset, _UNSET))
    try:
        yield
    finally:
        for name in unset:
            del os.environ[name]


def _variables(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping | list):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _variables(inner)
    elif (name := variable_in(value)) is not None:
        yield name
