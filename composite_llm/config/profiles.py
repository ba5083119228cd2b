"""Profiles: named strategies with their options, from a YAML file or a mapping."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from composite_llm.config.checking import check_node_keys, checked, shown
from composite_llm.config.nearest import near_miss, nearest
from composite_llm.config.node import NodeSettings
from composite_llm.config.options import STRATEGIES, Options
from composite_llm.config.parameters import PROFILE_PARAMETERS
from composite_llm.config.telemetry import configured_telemetry
from composite_llm.errors import InvalidConfig, InvalidOption, UnknownProfile
from composite_llm.observe.otel_settings import otel_settings

CONFIG_VARIABLE = "COMPOSITE_LLM_CONFIG"
DEFAULT_FILE = "composite.yaml"

SECTIONS: Mapping[str, Callable[[Any], Any]] = {"otel": otel_settings, "telemetry": configured_telemetry}
"""Top-level keys beside `profiles`, for what concerns the process and not one model: each makes checked settings."""

_OWN_KEYS = frozenset({"strategy", "model", "description"})


@dataclass(frozen=True, slots=True)
class Profile:
    """A named strategy.

    Attributes:
        name: As in `composite/profile/<name>`.
        strategy: `moa` or `council`.
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
        return _profiles_of(config, "config", _Lines({}))
    path = Path(config) if config is not None else default_path()
    return _read(path) if path is not None else Profiles()


def default_path() -> Path | None:
    """The file that is read when none is named: that of `COMPOSITE_LLM_CONFIG`, else `composite.yaml` if it is there."""
    named = os.environ.get(CONFIG_VARIABLE)
    if named:
        return Path(named)
    found = Path(DEFAULT_FILE)
    return found if found.is_file() else None


class _Lines:
    """Where each key of a YAML document stands, so that an error can say it."""

    def __init__(self, line_of: Mapping[tuple[str, ...], int]) -> None:
        self._line_of = line_of

    def at(self, path: tuple[str, ...]) -> str:
        while path and path not in self._line_of:
            path = path[:-1]
        return f", line {self._line_of[path]}" if path else ""


def _read(path: Path) -> Profiles:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = "is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else error.strerror or "cannot be read"
        raise InvalidConfig(f"{path}: {reason}") from None
    try:
        document = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark is not None else ""
        raise InvalidConfig(
            f"{path}{where}: not valid YAML: {getattr(error, 'problem', None) or 'unreadable'}"
        ) from None
    except (ValueError, RecursionError):
        raise InvalidConfig(f"{path}: not valid YAML") from None
    lines: dict[tuple[str, ...], int] = {}
    _note_lines(document, (), lines, str(path))
    if content is None:
        return Profiles()
    if not isinstance(content, Mapping):
        raise InvalidConfig(f"{path}: the top level must be a mapping with 'profiles'")
    return _profiles_of(content, str(path), _Lines(lines))


def _note_lines(
    node: yaml.Node | None, path: tuple[str, ...], lines: dict[tuple[str, ...], int], file: str, depth: int = 0
) -> None:
    if depth > 20:
        raise InvalidConfig(f"{file}: nested more than 20 levels deep")
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*path, str(key.value))
            if here in lines:
                raise InvalidConfig(f"{file}, line {key.start_mark.line + 1}: key {key.value!r} is there twice")
            lines[here] = key.start_mark.line + 1
            _note_lines(value, here, lines, file, depth + 1)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            here = (*path, str(index))
            lines[here] = value.start_mark.line + 1
            _note_lines(value, here, lines, file, depth + 1)


def _profiles_of(content: Mapping[Any, Any], source: str, lines: _Lines) -> Profiles:
    unwrapped = "profiles" not in content and all(
        isinstance(value, Mapping) and "strategy" in value for value in content.values()
    )
    prefix: tuple[str, ...] = () if unwrapped else ("profiles",)
    sections = {} if unwrapped else _sections_of(content, source, lines)
    profiles = content if unwrapped else content.get("profiles")
    if profiles is None:
        return Profiles(sections=sections)
    if not isinstance(profiles, Mapping):
        raise InvalidConfig(f"{source}{lines.at(prefix)}: 'profiles' must map names to profiles")
    by_name = {}
    for name, body in profiles.items():
        path = (*prefix, str(name))
        try:
            by_name[str(name)] = _profile(str(name), body)
        except InvalidOption as error:
            where = lines.at((*path, *error.key.split(".")))
            raise InvalidConfig(f"{source}{where}: {'.'.join(path)}.{error.message}") from None
    return Profiles(by_name, sections)


def _sections_of(content: Mapping[Any, Any], source: str, lines: _Lines) -> dict[str, Any]:
    found = {}
    for key, value in content.items():
        if key == "profiles":
            continue
        if key not in SECTIONS:
            allowed = ", ".join(("profiles", *SECTIONS))
            raise InvalidConfig(f"{source}{lines.at((str(key),))}: unknown key {key!r}; allowed: {allowed}")
        try:
            found[str(key)] = SECTIONS[key](value)
        except InvalidOption as error:
            raise InvalidConfig(f"{source}{lines.at(tuple(error.key.split('.')))}: {error.message}") from None
    return found


def _profile(name: str, body: Any) -> Profile:
    if not isinstance(body, Mapping):
        raise InvalidOption(
            "strategy", f"got {shown('profile', body)}", allowed="a mapping with 'strategy'", value=body
        )
    strategy = body.get("strategy")
    if not isinstance(strategy, str) or strategy not in STRATEGIES:
        problem = "is missing" if strategy is None else f"got {shown('strategy', strategy)}"
        raise InvalidOption("strategy", problem, allowed=" or ".join(STRATEGIES), value=strategy)
    model = body.get("model")
    if model is not None and not (isinstance(model, str) and model):
        raise InvalidOption("model", f"got {shown('model', model)}", allowed="a model string", value=model)
    options_type = STRATEGIES[strategy]
    known = options_type.model_fields
    _check_keys(body, strategy, known)
    options = {key: value for key, value in body.items() if key in known}
    checked_options = checked(options_type, options)
    check_all_nodes(checked_options)
    return Profile(
        name=name,
        strategy=strategy,
        model=model or _final_model(checked_options),
        options=options,
        parameters={key: value for key, value in body.items() if key not in known and key not in _OWN_KEYS},
    )


def _check_keys(body: Mapping[Any, Any], strategy: str, known: Mapping[str, Any]) -> None:
    for key in body:
        if key in known or key in _OWN_KEYS or key in PROFILE_PARAMETERS:
            continue
        meant = near_miss(str(key), {*known, *_OWN_KEYS, *PROFILE_PARAMETERS})
        hint = f"; did you mean '{meant}'?" if meant else ""
        raise InvalidOption(
            str(key), f"unknown key{hint}", allowed=f"options of {strategy}: {', '.join(sorted(known))}"
        )


def _final_model(options: Options) -> str | None:
    settings = getattr(options, options.final_role)
    return settings.model if settings is not None else None


def check_all_nodes(options: Options) -> None:
    """Refuse misspelt keys in any node of the options.

    Raises:
        InvalidOption: naming the node and the key.
    """
    for key in type(options).model_fields:
        value = getattr(options, key)
        if isinstance(value, NodeSettings):
            _check_node(value, key)
        elif isinstance(value, tuple):
            for index, item in enumerate(value):
                if isinstance(item, NodeSettings):
                    _check_node(item, f"{key}.{index}")


def _check_node(node: NodeSettings, path: str) -> None:
    check_node_keys(node, path)
    for index, fallback in enumerate(node.fallbacks):
        _check_node(fallback, f"{path}.fallbacks.{index}")
