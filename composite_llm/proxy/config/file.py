"""The configuration file of LiteLLM's proxy as it is written, with the files that it includes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from composite_llm.config.problems import Problem
from composite_llm.config.yaml_source import KeyPath, Source, UnreadableConfig, read_source
from composite_llm.model.model_strings import is_composite_model

_FROM_ENVIRONMENT = "os.environ/"


@dataclass(frozen=True, slots=True)
class Setting:
    """A value and where it stands.

    Attributes:
        label: Whose it is, for a message; blank for one of the proxy itself.
        deployment: The `model_name` of the deployment that it is in, if it is in one.
    """

    source: Source
    path: KeyPath
    value: Any
    label: str = ""
    deployment: str | None = None

    def inside(self, *keys: str, value: Any = None) -> Setting:
        """What stands below it."""
        return replace(self, path=(*self.path, *keys), value=value)

    def problem(self, message: str) -> Problem:
        """A mistake that is made here."""
        text = f"{self.label}: {message}" if self.label else message
        return Problem(self.source.name, self.source.place(self.path), text, self.deployment)


@dataclass(frozen=True, slots=True)
class Listed:
    """One entry of a `model_list`.

    Attributes:
        name: Its `model_name`.
        params: Its `litellm_params`.
        info: Its `model_info`.
    """

    name: str
    params: Setting
    info: Setting

    @property
    def model(self) -> str:
        """Its model string; blank if it has none."""
        model = self.params.value.get("model")
        return model if isinstance(model, str) else ""

    @property
    def is_composite(self) -> bool:
        """Whether it is a composite."""
        return is_composite_model(self.model)


@dataclass(frozen=True)
class ProxyFile:
    """A proxy's configuration.

    Attributes:
        path: The file that the proxy is started with.
        sources: It, and the files that it includes, in the order in which LiteLLM reads them.
        unread: Why a file could not be read.
    """

    path: Path
    sources: tuple[Source, ...]
    unread: tuple[Problem, ...] = ()

    @cached_property
    def listed(self) -> tuple[Listed, ...]:
        """All entries of its `model_list`."""
        return tuple(self._listed())

    @property
    def composites(self) -> tuple[Listed, ...]:
        """Those of them that are composites."""
        return tuple(entry for entry in self.listed if entry.is_composite)

    def section(self, name: str) -> Setting:
        """A section of settings; empty where there is none. A file that is included overrides those before it."""
        sources = [source for source in self.sources if isinstance(source.content.get(name), Mapping)]
        source = sources[-1] if sources else self.sources[0]
        return Setting(source, (name,), source.content[name] if sources else {})

    @cached_property
    def environment(self) -> Mapping[str, str]:
        """The environment that the proxy will have."""
        given = self.section("environment_variables").value
        return {**os.environ, **{str(key): from_environment(value, os.environ) for key, value in given.items()}}

    def _listed(self) -> Iterator[Listed]:
        for source in self.sources:
            entries = source.content.get("model_list")
            for index, entry in enumerate(entries if isinstance(entries, list) else ()):
                if not isinstance(entry, Mapping) or not isinstance(entry.get("litellm_params"), Mapping):
                    continue
                name, path = str(entry.get("model_name")), ("model_list", str(index))
                info = entry.get("model_info")
                yield Listed(
                    name,
                    Setting(source, (*path, "litellm_params"), entry["litellm_params"], name, name),
                    Setting(source, (*path, "model_info"), info if isinstance(info, Mapping) else {}, name, name),
                )


def is_proxy_file(path: Path) -> bool:
    """Whether a file is the configuration of LiteLLM's proxy, and not one of ours."""
    try:
        content = read_source(path).content
    except UnreadableConfig:
        return False
    return isinstance(content, Mapping) and any(key in content for key in ("model_list", "litellm_settings", "include"))


def read_proxy_file(path: Path) -> ProxyFile:
    """A file, and those that it includes.

    Raises:
        UnreadableConfig: The file itself cannot be read.
    """
    first = read_source(path)
    sources, unread, waiting = [_mapping(first)], [], [first]
    read = {os.path.abspath(path)}
    while waiting:
        source = waiting.pop(0)
        entries = source.content.get("include") if isinstance(source.content, Mapping) else None
        for index, entry in enumerate(entries if isinstance(entries, list) else ()):
            include = _included(str(entry), Path(source.name), path)
            if os.path.abspath(include) in read:
                continue
            read.add(os.path.abspath(include))
            try:
                included = read_source(include)
            except UnreadableConfig as error:
                here = Setting(source, ("include", str(index)), entry)
                unread.append(
                    here.problem(f"include.{index}: {error.message}")
                    if error.place is None
                    else Problem(str(include), error.place, error.problem)
                )
                continue
            sources.append(_mapping(included))
            waiting.append(included)
    return ProxyFile(path, tuple(sources), tuple(unread))


def _mapping(source: Source) -> Source:
    return source if source.content is not None else Source(source.name, {})


def _included(entry: str, declared_in: Path, first: Path) -> Path:
    """LiteLLM looks beside the file that names it, and then beside the first."""
    beside = declared_in.parent / entry
    return beside if beside.exists() else first.parent / entry


def from_environment(value: Any, environment: Mapping[str, str]) -> str:
    """A value of `environment_variables` as LiteLLM sets it."""
    text = str(value)
    return environment.get(text.removeprefix(_FROM_ENVIRONMENT), "") if text.startswith(_FROM_ENVIRONMENT) else text


def variable_in(value: Any) -> str | None:
    """The environment variable that a value names, as `os.environ/NAME`."""
    named = isinstance(value, str) and value.startswith(_FROM_ENVIRONMENT)
    return value.removeprefix(_FROM_ENVIRONMENT) if named else None
