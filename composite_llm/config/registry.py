"""The strategies that there are: those that ship, those of installed packages, and those that a program registers."""

from __future__ import annotations

import importlib
import logging
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from functools import partial
from importlib.metadata import entry_points
from typing import Any, Literal, Protocol

from pydantic import BaseModel

from composite_llm.config.node import Node, NodeSettings
from composite_llm.config.options import Options
from composite_llm.config.parameters import PROFILE_PARAMETERS
from composite_llm.config.stage_spec import StageSpec
from composite_llm.model.errors import InvalidConfig

ENTRY_POINT_GROUP = "composite_llm.strategies"
_SHIPPED = {
    "moa": "composite_llm.strategies.moa:MixtureOfAgents",
    "council": "composite_llm.strategies.council:Council",
}
"""Loaded when they are used, as a package's entry point is: they stand above what reads their options."""
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_NO_STRATEGY = frozenset({"profile", "tier", "task"})
"""Words that stand in a strategy's place in model strings."""
_OF_A_PROFILE = frozenset({"strategy", "model", "description"})

NodeForm = Literal["list", "one"]

_log = logging.getLogger("composite_llm")


class PlannedStrategy(Protocol):
    """What checking a configuration needs of a strategy."""

    @property
    def stages(self) -> tuple[StageSpec, ...]:
        """Its stages under its plan."""
        ...


class StrategyType(Protocol):
    """A strategy's class: see `composite_llm.strategies.Strategy`."""

    @property
    def options_type(self) -> type[Options]:
        """Its options."""
        ...

    @property
    def title(self) -> str:
        """Its name for people."""
        ...

    def __call__(self, plan: Any, options: Any, messages: Sequence[Any]) -> PlannedStrategy:
        """One for a run."""
        ...


class Registry(Mapping[str, type[Options]]):
    """The options of each strategy by its name, in the order in which they came."""

    def __init__(self, shipped: Mapping[str, str]) -> None:
        self._loaders: dict[str, Callable[[], Any]] = {name: partial(_loaded, place) for name, place in shipped.items()}
        self._shipped = frozenset(shipped)
        self._types: dict[str, StrategyType] = {}
        self._installed_found = False
        self._options: frozenset[str] | None = None
        self._nodes: dict[str, NodeForm] | None = None

    def __getitem__(self, name: str) -> type[Options]:
        return self.strategy_type(name).options_type

    def __iter__(self) -> Iterator[str]:
        self._find_installed()
        return iter(tuple(self._loaders))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return name in tuple(self)

    def strategy_type(self, name: str) -> StrategyType:
        """The class of a strategy.

        Raises:
            KeyError: There is none of that name.
        """
        self._find_installed()
        if name not in self._types:
            self._types[name] = _checked(self._loaders[name](), name)
        return self._types[name]

    def option_names(self) -> frozenset[str]:
        """Every option of every strategy that can be used."""
        if self._options is None:
            self._options = frozenset().union(*(kind.model_fields for kind in self.values()))
        return self._options

    def node_options(self) -> Mapping[str, NodeForm]:
        """Every option of any strategy that holds nodes, as its type says, and whether it holds several."""
        if self._nodes is None:
            self._nodes = {name: form for kind in self.values() for name, form in node_fields(kind).items()}
        return self._nodes

    def final_options(self) -> frozenset[str]:
        """The options of all strategies that hold the settings of a final call."""
        return frozenset(kind.final_role for kind in self.values())

    def add(self, strategy: StrategyType) -> None:
        """Make a program's own strategy known; one of the same name that was added before is replaced.

        Raises:
            InvalidConfig: It cannot be used, or has the name of one that ships.
        """
        checked = _checked(strategy, None)
        name = checked.options_type.strategy
        if name in self._shipped:
            raise InvalidConfig(f"strategies: {name!r} is the name of a strategy that ships with composite_llm")
        self._find_installed()
        self._loaders[name] = partial(_same, checked)
        self._types[name] = checked
        self._options = self._nodes = None

    def remove(self, name: str) -> None:
        """Forget a program's own strategy."""
        if name not in self._shipped:
            self._loaders.pop(name, None)
            self._types.pop(name, None)
            self._options = self._nodes = None

    def _find_installed(self) -> None:
        if self._installed_found:
            return
        self._installed_found = True
        for point in entry_points(group=ENTRY_POINT_GROUP):
            try:
                if point.name in self._loaders:
                    raise InvalidConfig(f"strategies: {point.value}: the name {point.name!r} is taken")
                self._types[point.name] = found = _checked(point.load(), point.name)
                self._loaders[point.name] = partial(_same, found)
            except Exception as error:  # noqa: BLE001  # an installed package may do anything when it is imported
                _log.warning("strategy %r of %s is left out: %s", point.name, point.value, error)


def _same(strategy: StrategyType) -> StrategyType:
    return strategy


def _loaded(place: str) -> Any:
    module, _, attribute = place.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _checked(strategy: Any, name: str | None) -> StrategyType:
    """The class, if it can be used as a strategy of that name.

    Raises:
        InvalidConfig: says why not.
    """
    shown = getattr(strategy, "__name__", type(strategy).__name__)
    options = getattr(strategy, "options_type", None)
    if not isinstance(strategy, type) or not (isinstance(options, type) and issubclass(options, Options)):
        raise InvalidConfig(f"strategies: {shown} is no Strategy with an options_type")
    own = getattr(options, "strategy", None)
    if not isinstance(own, str) or not _NAME.fullmatch(own) or own in _NO_STRATEGY:
        raise InvalidConfig(f"strategies: {shown}: {own!r} is no name for a strategy; allowed: {_NAME.pattern}")
    if name is not None and own != name:
        raise InvalidConfig(f"strategies: {shown} is installed as {name!r} and calls itself {own!r}")
    final = getattr(options, "final_role", None)
    if final not in options.model_fields:
        raise InvalidConfig(f"strategies: {shown} has no option of the name of its final_role, {final!r}")
    taken = set(options.model_fields) & ((PROFILE_PARAMETERS - {"seed"}) | _OF_A_PROFILE)
    if taken:
        raise InvalidConfig(f"strategies: {shown}: {min(taken)!r} is a call parameter and no name for an option")
    return typing.cast(StrategyType, strategy)


STRATEGIES = Registry(_SHIPPED)


class _OptionNames(Set[str]):
    """Every option of every strategy that is known now."""

    def __contains__(self, name: object) -> bool:
        return name in STRATEGIES.option_names()

    def __iter__(self) -> Iterator[str]:
        return iter(STRATEGIES.option_names())

    def __len__(self) -> int:
        return len(STRATEGIES.option_names())

    @classmethod
    def _from_iterable(cls, names: Any) -> frozenset[str]:  # type: ignore[override]
        return frozenset(names)


ALL_OPTIONS: Set[str] = _OptionNames()


def node_fields(options_type: type[Options]) -> dict[str, NodeForm]:
    """The options of one strategy that hold nodes, the final call's settings included."""
    forms = {name: _node_form(field.annotation) for name, field in options_type.model_fields.items()}
    return {name: form for name, form in forms.items() if form is not None}


def first_node_list(options_type: type[Options]) -> str | None:
    """The option that names the members of the first stage: the first that holds a list of nodes."""
    return next((name for name, form in node_fields(options_type).items() if form == "list"), None)


def _node_form(annotation: Any) -> NodeForm | None:
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        if issubclass(annotation, NodeSettings):
            return "one"
        if issubclass(annotation, BaseModel):
            inside = [_node_form(field.annotation) for field in annotation.model_fields.values()]
            return "one" if any(inside) else None
        return None
    inside = [form for form in map(_node_form, typing.get_args(annotation)) if form is not None]
    if not inside:
        return None
    several = typing.get_origin(annotation) in (tuple, list, set, frozenset, Sequence)
    return "list" if several or "list" in inside else "one"


def nodes_in(value: Any) -> Iterator[Node]:
    """Every node in the value of an option, without fallbacks."""
    if isinstance(value, Node):
        yield value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from () if isinstance(value, NodeSettings) else nodes_in(getattr(value, name))
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from nodes_in(inner)
    elif isinstance(value, list | tuple | set | frozenset):
        for inner in value:
            yield from nodes_in(inner)
