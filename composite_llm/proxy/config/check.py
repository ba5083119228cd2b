"""A proxy's configuration file, checked as far as can be without starting the proxy or calling a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from composite_llm.config.checked_file import problems_of_file
from composite_llm.config.problems import Problem, profiles_in
from composite_llm.config.profiles import CONFIG_VARIABLE, DEFAULT_FILE, Profiles, load_profiles
from composite_llm.config.yaml_source import Source, UnreadableConfig, read_source
from composite_llm.model.errors import CompositeError
from composite_llm.proxy.config.deployment import missing_variables, node_key_problems, option_problems, policy_problems
from composite_llm.proxy.config.file import Listed, ProxyFile, Setting, read_proxy_file
from composite_llm.proxy.config.graph import Edge, graph_problems
from composite_llm.proxy.config.money import money_problems
from composite_llm.proxy.config.nodes import Written, can_ask, final_of, profiles_in_model, unreachable, written_nodes
from composite_llm.proxy.config.settings import settings_notes, settings_problems

_TELEMETRY_VARIABLE = "COMPOSITE_LLM_TELEMETRY"


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found.

    Attributes:
        file: The configuration; None where it cannot be read.
        problems: Every mistake, in the order of the files.
        notes: What may be meant otherwise.
    """

    file: ProxyFile | None
    problems: tuple[Problem, ...]
    notes: tuple[Problem, ...] = ()


def checked_proxy_file(path: Path) -> Checked:
    """Check a file and those that it includes."""
    try:
        file = read_proxy_file(path)
    except UnreadableConfig as error:
        return Checked(None, (Problem(str(path), error.place, error.problem),))
    checks = _Checks(file)
    order = {source.name: number for number, source in enumerate(file.sources)}
    problems = sorted(dict.fromkeys(checks.problems()), key=lambda problem: _order(problem, order))
    return Checked(file, tuple(problems), tuple(settings_notes(file)))


def _order(problem: Problem, order: Mapping[str, int]) -> tuple[int, int, int]:
    place = problem.place
    return order.get(problem.source, len(order)), place.line if place else 0, place.column if place else 0


class _Checks:
    def __init__(self, file: ProxyFile) -> None:
        self._file = file
        aliases = file.section("router_settings").value.get("model_group_alias")
        self._aliases: Mapping[str, Any] = aliases if isinstance(aliases, Mapping) else {}
        self._names = [*(entry.name for entry in file.listed), *self._aliases]
        self._profile_file = _profile_file(file)
        self._profile_problems: list[Problem] = []
        self._profiles = self._loaded()

    def problems(self) -> Iterator[Problem]:
        file = self._file
        yield from file.unread
        for source in file.sources:
            for path, place in source.repeated:
                yield Problem(source.name, place, f"key {path[-1]!r} is given twice")
            yield from _malformed(source)
        yield from self._profile_problems
        if not file.composites:
            return
        yield from settings_problems(file)
        for entry in file.composites:
            yield from list(self._no_profiles(entry)) or option_problems(entry, self._profiles, file.environment)
            yield from policy_problems(entry, self._profiles)
            yield from self._node_problems(entry)
        for entry in self._asked_by_name():
            yield from missing_variables(entry.params, file.environment)
        yield from graph_problems(self._graph())

    def _loaded(self) -> Profiles:
        path = self._profile_file
        if path is None:
            return Profiles()
        if not path.is_file():
            where = self._file.section("environment_variables")
            here = where.inside(CONFIG_VARIABLE) if CONFIG_VARIABLE in where.value else where
            self._profile_problems.append(here.problem(f"{CONFIG_VARIABLE}: there is no file {path}"))
            return Profiles()
        self._profile_problems.extend(problems_of_file(path))
        try:
            return load_profiles(path)
        except CompositeError:
            # Told above, each mistake by itself.
            return Profiles()

    def _no_profiles(self, entry: Listed) -> Iterator[Problem]:
        if self._profile_file is None and any(True for _ in profiles_in_model(entry.model)):
            yield entry.params.inside("model").problem(
                f"model: {entry.model!r} needs profiles; allowed: a file named by {CONFIG_VARIABLE}, or {DEFAULT_FILE} "
                "in the directory that the proxy is started in"
            )

    def _node_problems(self, entry: Listed) -> Iterator[Problem]:
        nodes = list(self._nodes(entry))
        for node in nodes:
            yield from node_key_problems(node, self._file.environment)
        if not self._file.section("general_settings").value.get("store_model_in_db"):
            # Else the proxy has models that are in no file.
            for node in nodes:
                yield from unreachable(node, self._names)
        askable = [replace(node, model=self._model_meant(node)) for node in nodes if can_ask(node, self._names)]
        for options in self._holders(entry):
            telemetry = bool(self._file.environment.get(_TELEMETRY_VARIABLE)) or "telemetry" in self._profiles.sections
            yield from money_problems(options, askable, self._file.listed, telemetry=telemetry)

    def _holders(self, entry: Listed) -> Iterator[Setting]:
        yield entry.params
        for key in ("optional_params", "extra_body"):
            if isinstance(value := entry.params.value.get(key), Mapping):
                yield entry.params.inside(key, value=value)

    def _nodes(self, entry: Listed) -> Iterator[Written]:
        """All nodes of a composite, those of the profiles that it rests on included."""
        if "*" not in entry.model:
            yield Written("model", entry.model, entry.params.inside("model", value=entry.model), {"model": entry.model})
        written = [node for options in self._holders(entry) for node in written_nodes(options)]
        yield from written
        named = [
            name for model in (entry.model, *(node.model for node in written)) for name in profiles_in_model(model)
        ]
        for name in dict.fromkeys(named):
            yield from self._nodes_of_profile(name)

    def _nodes_of_profile(self, name: str) -> Iterator[Written]:
        profile = self._profiles.by_name.get(name)
        source = self._profile_source()
        if profile is None or source is None:
            return
        prefix, _ = profiles_in(source.content)
        options = Setting(source, (*prefix, name), dict(profile.options), f"profile {name}")
        if profile.model:
            yield Written(
                "model", profile.model, options.inside("model", value=profile.model), {"model": profile.model}
            )
        yield from written_nodes(options)

    def _profile_source(self) -> Source | None:
        if self._profile_file is None or not self._profile_file.is_file():
            return None
        try:
            return read_source(self._profile_file)
        except UnreadableConfig:
            return None

    def _graph(self) -> dict[str, list[Edge]]:
        composites = {entry.name for entry in self._file.composites}
        graph: dict[str, list[Edge]] = {}
        for entry in self._file.composites:
            for node in self._nodes(entry):
                to = self._meant(final_of(node.model))
                if to in composites:
                    graph.setdefault(entry.name, []).append(Edge(node.key, to, node.place))
        return graph

    def _meant(self, name: str) -> str:
        alias = self._aliases.get(name, name)
        return str(alias.get("model") if isinstance(alias, Mapping) else alias)

    def _model_meant(self, node: Written) -> str:
        leaf = final_of(node.model)
        return self._meant(leaf) if leaf in self._aliases else node.model

    def _asked_by_name(self) -> list[Listed]:
        """The deployments that are no composites and that one may ask."""
        asked = {self._meant(final_of(node.model)) for entry in self._file.composites for node in self._nodes(entry)}
        return [entry for entry in self._file.listed if entry.name in asked and not entry.is_composite]


def _malformed(source: Source) -> Iterator[Problem]:
    """A list of models that is none, and entries that are no models."""
    place = Setting(source, ("model_list",), source.content.get("model_list"))
    if place.value is None:
        return
    if not isinstance(place.value, list):
        yield place.problem("model_list: is not a list of models")
        return
    for index, entry in enumerate(place.value):
        params = entry.get("litellm_params") if isinstance(entry, Mapping) else None
        if not isinstance(params, Mapping):
            yield place.inside(str(index)).problem(
                f"model_list.{index}: is not a model; allowed: model_name, litellm_params, model_info"
            )


def _profile_file(file: ProxyFile) -> Path | None:
    """Where the proxy will look for profiles, if it is started in this directory; else one beside its own file."""
    named = file.environment.get(CONFIG_VARIABLE)
    if named:
        return Path(named)
    files = [path for path in (Path(DEFAULT_FILE), file.path.parent / DEFAULT_FILE) if path.is_file()]
    return files[0] if files else None
