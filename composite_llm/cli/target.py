"""What is asked: a composite model string with its options, from the words of a command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from composite_llm.cli.completing import complete_model, complete_option, complete_profile, complete_strategy
from composite_llm.cli.exits import misuse
from composite_llm.cli.keys import PROVIDERS, Known, usable
from composite_llm.config.registry import STRATEGIES, first_node_list
from composite_llm.model.model_strings import COMPOSITE_PREFIX, is_composite_model, profile_model

DEFAULT_STRATEGY = "moa"


def _known(strategy: str | None) -> str | None:
    if strategy is not None and strategy not in STRATEGIES:
        message = f"{strategy!r} is not one of {', '.join(map(repr, STRATEGIES))}."
        raise typer.BadParameter(message)
    return strategy


StrategyOption = Annotated[
    str | None,
    typer.Option(
        "--strategy",
        "-s",
        help="How the models work together.",
        show_default=DEFAULT_STRATEGY,
        metavar=f"[{'|'.join(STRATEGIES)}]",
        callback=_known,
        autocompletion=complete_strategy,
    ),
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        help="The model that writes the answer, or a composite/… string.",
        autocompletion=complete_model,
    ),
]
ProposersOption = Annotated[
    list[str] | None,
    typer.Option(
        "--proposer",
        "-p",
        help="A model that proposes, or sits in the council; once for each.",
        autocompletion=complete_model,
    ),
]
ProfileOption = Annotated[
    str | None, typer.Option("--profile", help="A profile of the configuration.", autocompletion=complete_profile)
]
OptionsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        "-o",
        metavar="KEY=VALUE",
        help="Any option or call parameter; the value is YAML, dots reach inside: chairman.max_tokens=4000.",
        autocompletion=complete_option,
    ),
]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="The file with the profiles.", show_default="composite.yaml")
]
OfflineOption = Annotated[
    bool, typer.Option("--offline", help="Let a server in this process play the models; no key, no cost.")
]


@dataclass(frozen=True, slots=True)
class Target:
    """What `litellm.completion` is called with.

    Attributes:
        model: A composite model string.
        options: Options and call parameters.
        picked: Whether nobody named a model, so that it is one whose key is set.
    """

    model: str
    options: dict[str, Any] = field(default_factory=dict)
    picked: bool = False

    def with_options(self, more: Mapping[str, Any]) -> Target:
        """The same with the options that have an option of the command line of their own.

        Raises:
            Misused: One of them is given in both ways.
        """
        given = {key: value for key, value in more.items() if value is not None}
        for key in given.keys() & self.options.keys():
            misuse(f"--option {key}=… and --{key.replace('_', '-')} are the same; give one of them")
        return replace(self, options={**self.options, **given})


def target_of(
    strategy: str | None,
    model: str | None,
    proposers: Sequence[str] | None,
    profile: str | None,
    options: Sequence[str] | None,
) -> Target:
    """The target that the words describe.

    Raises:
        Misused: They contradict each other, or there is neither a model nor a key.
    """
    given = parsed_options(options or ())
    if profile is not None:
        if model is not None or strategy is not None or proposers:
            misuse("--profile says who is asked; leave out --strategy, --model and --proposer")
        return Target(profile_model(profile), given)
    if model is not None and is_composite_model(model):
        return _whole(model, strategy, proposers, given)
    chosen = strategy or DEFAULT_STRATEGY
    members = list(proposers or ())
    if model is not None:
        return Target(f"{COMPOSITE_PREFIX}{chosen}/{model}", _with_members(chosen, members, given))
    known = usable()
    if not known:
        misuse(_NO_MODEL)
    members = members or _picked(chosen, known)
    return Target(f"{COMPOSITE_PREFIX}{chosen}/{known[0].strong}", _with_members(chosen, members, given), picked=True)


def _picked(strategy: str, known: Sequence[Known]) -> list[str]:
    if len(known) == 1:
        # One model alone would have nobody to disagree with.
        return []
    members = [provider.small for provider in known]
    too_few = len(members) < STRATEGIES[strategy].fewest_members
    return [*members, *(provider.strong for provider in known)] if too_few else members


def _whole(model: str, strategy: str | None, proposers: Sequence[str] | None, given: dict[str, Any]) -> Target:
    kind = model.split("/")[1]
    if strategy is not None and strategy != kind:
        misuse(f"--model {model} is a strategy already; leave out --strategy {strategy}")
    if proposers and kind not in STRATEGIES:
        misuse(f"--model {model} says who is asked; leave out --proposer")
    return Target(model, _with_members(kind, list(proposers), given) if proposers else given)


def _with_members(strategy: str, members: list[str], given: dict[str, Any]) -> dict[str, Any]:
    key = first_node_list(STRATEGIES[strategy])
    if members and key is None:
        misuse(f"the strategy {strategy} takes no --proposer")
    if members and key in given:
        misuse(f"--proposer and --option {key}=… name the same; give one of them")
    return {key: members, **given} if members and key is not None else given


_NO_MODEL = (
    "no model: name one with --model or --profile, set a key "
    f"({', '.join(known.variables[0] for known in PROVIDERS.values())}), or try --offline"
)


def parsed_options(pairs: Sequence[str]) -> dict[str, Any]:
    """`KEY=VALUE` pairs as a mapping; `a.b=1` is `{"a": {"b": 1}}`.

    Raises:
        Misused: A pair without `=`, a value that is no YAML, or two that contradict each other.
    """
    import yaml

    options: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        path = name.strip().split(".")
        if not equals or not all(path):
            misuse(f"--option {name}: write KEY=VALUE")
        try:
            value = yaml.safe_load(text)
        except (yaml.YAMLError, ValueError, RecursionError):
            misuse(f"--option {name}: its value is no YAML; put text with special characters into quotes")
        _set(options, path, value)
    return options


def _set(into: dict[str, Any], path: Sequence[str], value: Any) -> None:
    for index, part in enumerate(path[:-1]):
        inner = into.setdefault(part, {})
        if not isinstance(inner, dict):
            misuse(f"--option {'.'.join(path)}: {'.'.join(path[: index + 1])} has a value already")
        into = inner
    if path[-1] in into:
        misuse(f"--option {'.'.join(path)} is given twice")
    into[path[-1]] = value
