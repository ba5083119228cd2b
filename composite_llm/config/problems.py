"""What is wrong with a configuration: every mistake in it, each with its key."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from composite_llm.config.checking import errors_in, misspelt_node_keys, shown
from composite_llm.config.node import NodeSettings, is_from_environment
from composite_llm.config.numbers import number_problem
from composite_llm.config.options import Options
from composite_llm.config.parameters import PROFILE_PARAMETERS
from composite_llm.config.registry import STRATEGIES
from composite_llm.config.telemetry_section import configured_telemetry
from composite_llm.config.yaml_source import KeyPath, Place, Source
from composite_llm.model.errors import InvalidConfig, InvalidOption
from composite_llm.model.near_misses import near_miss
from composite_llm.observe.otel_settings import otel_settings

SECTIONS: Mapping[str, Callable[[Any], Any]] = {"otel": otel_settings, "telemetry": configured_telemetry}
"""Top-level keys beside `profiles`, for what concerns the process and not one model: each makes checked settings."""

OWN_KEYS = frozenset({"strategy", "model", "description"})
"""Of a profile, beside options and call parameters."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake.

    Attributes:
        source: The file, or `config` for a mapping.
        place: Where it stands, if that is a file.
        message: What is wrong, with the key in it.
        deployment: The `model_name` of the proxy's deployment that it is in, if it is in one.
    """

    source: str
    place: Place | None
    message: str
    deployment: str | None = None

    def error(self) -> InvalidConfig:
        """As `register` raises it."""
        where = f", line {self.place.line}" if self.place is not None else ""
        return InvalidConfig(f"{self.source}{where}: {self.message}")


def profiles_in(content: Mapping[Any, Any] | None) -> tuple[KeyPath, Any]:
    """The profiles of a configuration and the path to them: under `profiles`, or bare where there is nothing else."""
    if content is None:
        return (), None
    bare = "profiles" not in content and all(
        isinstance(value, Mapping) and "strategy" in value for value in content.values()
    )
    return ((), content) if bare else (("profiles",), content.get("profiles"))


def problems_in(source: Source) -> Iterator[Problem]:
    """Every mistake that can be seen in one profile or section alone."""

    def problem(path: KeyPath, message: str) -> Problem:
        return Problem(source.name, source.place(path), message)

    for path, place in source.repeated:
        yield Problem(source.name, place, f"key {path[-1]!r} is given twice")
    prefix, profiles = profiles_in(source.content)
    if prefix:
        for key, value in source.content.items():
            for path, message in _section_errors(key, value):
                yield problem(path, message)
    if profiles is None:
        return
    if not isinstance(profiles, Mapping):
        yield problem(prefix, "'profiles' must map names to profiles")
        return
    for name, body in profiles.items():
        path = (*prefix, str(name))
        for error in profile_errors(body):
            yield problem((*path, *error.key.split(".")), f"{'.'.join(path)}.{error.message}")


def _section_errors(key: Any, value: Any) -> Iterator[tuple[KeyPath, str]]:
    if key == "profiles":
        return
    if key not in SECTIONS:
        yield (str(key),), f"unknown key {key!r}; allowed: {', '.join(('profiles', *SECTIONS))}"
        return
    try:
        SECTIONS[key](value)
    except InvalidOption as error:
        yield tuple(error.key.split(".")), error.message


def profile_errors(body: Any) -> Iterator[InvalidOption]:
    """Every mistake in one profile."""
    if not isinstance(body, Mapping):
        yield InvalidOption(
            "strategy", f"got {shown('profile', body)}", allowed="a mapping with 'strategy'", value=body
        )
        return
    strategy = body.get("strategy")
    if not isinstance(strategy, str) or strategy not in STRATEGIES:
        problem = "is missing" if strategy is None else f"got {shown('strategy', strategy)}"
        yield InvalidOption("strategy", problem, allowed=" or ".join(STRATEGIES), value=strategy)
        return
    model = body.get("model")
    if model is not None and not (isinstance(model, str) and model):
        yield InvalidOption("model", f"got {shown('model', model)}", allowed="a model string", value=model)
    yield from _unknown_keys(body, strategy)
    options_type = STRATEGIES[strategy]
    for key in body:
        if key in options_type.model_fields:
            yield from option_errors(options_type, key, body[key])


def _unknown_keys(body: Mapping[Any, Any], strategy: str) -> Iterator[InvalidOption]:
    known = STRATEGIES[strategy].model_fields
    for key in body:
        if key in known or key in OWN_KEYS or key in PROFILE_PARAMETERS:
            continue
        meant = near_miss(str(key), {*known, *OWN_KEYS, *PROFILE_PARAMETERS})
        hint = f"; did you mean '{meant}'?" if meant else ""
        yield InvalidOption(
            str(key), f"unknown key{hint}", allowed=f"options of {strategy}: {', '.join(sorted(known))}"
        )


def option_errors(options_type: type[Options], key: str, value: Any) -> Iterator[InvalidOption]:
    """One option by itself: no option's validity depends on another's."""
    errors = errors_in(options_type, {key: value})
    if not errors:
        yield from node_key_errors(options_type.model_validate({key: value}))
        return
    yield from errors
    for index, item in enumerate(value if isinstance(value, list | tuple) else ()):
        # The nodes beside the wrong one.
        if isinstance(item, Mapping) and not errors_in(NodeSettings, item):
            yield from _node_errors(NodeSettings.model_validate(item), f"{key}.{index}")


def check_all_nodes(options: Options) -> None:
    """Refuse misspelt keys in any node of the options.

    Raises:
        InvalidOption: naming the node and the key.
    """
    for error in node_key_errors(options):
        raise error


def node_key_errors(options: Options) -> Iterator[InvalidOption]:
    """Misspelt keys in any node of the options."""
    for key, value in options.__dict__.items():
        if isinstance(value, NodeSettings):
            yield from _node_errors(value, key)
        elif isinstance(value, tuple):
            for index, item in enumerate(value):
                if isinstance(item, NodeSettings):
                    yield from _node_errors(item, f"{key}.{index}")


def _node_errors(node: NodeSettings, path: str) -> Iterator[InvalidOption]:
    yield from misspelt_node_keys(node, path)
    for key, value in node.params.items():
        if not is_from_environment(value) and (problem := number_problem(key, value)) is not None:
            yield InvalidOption(f"{path}.{key}", f"got {shown(key, value)}", allowed=problem.allowed, value=value)
    for index, fallback in enumerate(node.fallbacks):
        yield from _node_errors(fallback, f"{path}.fallbacks.{index}")
