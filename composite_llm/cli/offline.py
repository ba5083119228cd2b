"""`--offline`: the models are played by the fake server in this process; no key is needed and nothing leaves the machine."""

from __future__ import annotations

import contextlib
import os
import sys
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from composite_llm.cli.target import Target, target_of
from composite_llm.config.registry import STRATEGIES
from composite_llm.model.model_strings import COMPOSITE_PREFIX, is_composite_model

if TYPE_CHECKING:
    from fake_server import ThreadedServer

FINAL = "openai/gpt-4.1"
MEMBERS = ("openai/gpt-4.1-mini", "openai/gpt-5-nano", "openai/gpt-4o-mini")

_PREFIX = "openai/"
_ENDPOINTS = ("api_base", "base_url", "api_key", "api_version", "headers", "extra_headers", "custom_llm_provider")
"""What a profile may say of where its models are: none of it counts when they are played."""

_STANCES = (
    "Start with the simplest thing that can work, and measure. Most of what seems hard at first never comes up, and what "
    "does is easier to mend in something small.",
    "It depends on who has to live with it. Write down the two outcomes that would hurt most, and take the way that "
    "rules both out, even if it is slower.",
    "The other way round: decide what would have to be true for the opposite to be right, and look for exactly that. If "
    "it cannot be found, the question is settled.",
    "Ask what can be undone. A step that can be taken back in a day needs no long discussion; one that cannot deserves "
    "all of it.",
)
_ANSWER = """\
**In short:** start small, keep the way back open, and let a measurement decide.

1. Take the *simplest* version that answers the question, and give it a date on which it is looked at again.
2. Write down beforehand what would change your mind.
3. Keep what cannot be undone for last.

| step | can be undone | worth a discussion |
|---|---|---|
| first version | in a day | no |
| moving data | hardly | yes |

```python
def next_step(evidence: list[str]) -> str:
    return "go on" if evidence else "measure first"
```

The members agreed on the first step; the second is where one of them differed.
"""


@dataclass(slots=True)
class Models:
    """Where a command's models are: at their providers."""

    def target(
        self,
        strategy: str | None,
        model: str | None,
        proposers: Sequence[str] | None,
        profile: str | None,
        options: Sequence[str] | None,
    ) -> Target:
        """As `target_of`."""
        return target_of(strategy, model, proposers, profile, options)

    def contestant(self, name: str) -> str:
        """A model, or a word that stands for one, in a comparison."""
        return name

    def know(self, answers: Mapping[str, str]) -> None:
        """Right answers to questions; real models have to find them themselves."""

    def config(self, given: Path | None) -> Path | Mapping[str, Any] | None:
        """What `register` reads."""
        return given

    def played(self, profiles: Mapping[str, Any]) -> dict[str, Any]:
        """Profiles as a configuration."""
        return {"profiles": dict(profiles)}


@dataclass(slots=True)
class PlayedModels(Models):
    """The same on a stage: every model is played, whoever's it is."""

    server: ThreadedServer
    cast: dict[str, str] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)

    def contestant(self, name: str) -> str:
        """As `Models`."""
        return self._model(name) if "/" in name else name

    def know(self, answers: Mapping[str, str]) -> None:
        """As `Models`: each played model knows some of them, the one that writes the final answers most."""
        self.answers = dict(answers)

    def target(
        self,
        strategy: str | None,
        model: str | None,
        proposers: Sequence[str] | None,
        profile: str | None,
        options: Sequence[str] | None,
    ) -> Target:
        """As `target_of`; without a model, some that everybody knows."""
        if model is None and profile is None:
            model, proposers = FINAL, proposers or MEMBERS
        target = target_of(strategy, model, proposers, profile, options)
        # So that what is kept of played runs can be told from what cost money.
        marked = {"metadata": {"tags": ["offline"]}, **self._body(target.options)}
        return Target(self._model(target.model), marked)

    def config(self, given: Path | None) -> Mapping[str, Any]:
        """The profiles, with every model played.

        Raises:
            InvalidConfig: The file cannot be used.
        """
        import yaml

        from composite_llm.config.problems import SECTIONS, profiles_in
        from composite_llm.config.profiles import default_path, load_profiles

        # Here the error has the file's line; in the mapping below there are none.
        load_profiles(given)
        path = given or default_path()
        content = yaml.safe_load(path.read_text(encoding="utf-8")) if path is not None else None
        if not content:
            return {}
        sections = {key: value for key, value in content.items() if key in SECTIONS}
        return {**sections, **self.played(profiles_in(content)[1] or {})}

    def played(self, profiles: Mapping[str, Any]) -> dict[str, Any]:
        """Profiles with every model played, as a configuration."""
        return {"profiles": {name: self._body(body) for name, body in profiles.items()}}

    def _body(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Options, a profile or a node, with every model in it played."""
        kept = {key: value for key, value in body.items() if key not in _ENDPOINTS}
        for key in (*STRATEGIES.node_options(), "fallbacks"):
            if isinstance(kept.get(key), list | tuple):
                kept[key] = [self._node(node) for node in kept[key]]
            elif isinstance(kept.get(key), str | Mapping):
                kept[key] = self._node(kept[key])
        if isinstance(kept.get("model"), str):
            kept["model"] = self._model(kept["model"])
        return kept

    def _node(self, node: Any) -> Any:
        if isinstance(node, str):
            node = {"model": node}
        if not isinstance(node, Mapping):
            return node
        return {**({"name": node["model"]} if isinstance(node.get("model"), str) else {}), **self._body(node)}

    def _model(self, model: str) -> str:
        """The name under which the fake server is asked for it."""
        if is_composite_model(model):
            _, kind, rest = (*model.split("/", 2), "", "")[:3]
            return model if kind == "profile" or not rest else f"{COMPOSITE_PREFIX}{kind}/{self._model(rest)}"
        played = _PREFIX + model.rsplit("/", 1)[-1]
        if played not in self.cast:
            self.cast[played] = _STANCES[len(self.cast) % len(_STANCES)]
            self.server.set_scenario(played.removeprefix(_PREFIX), self._played(played))
        return played

    def _played(self, name: str) -> dict[str, Any]:
        if not self.answers:
            return _scenario(self.cast[name], len(self.cast))
        knows = 85 if name == FINAL else 55 + 5 * (len(self.cast) % 4)
        return {
            "text": "I do not know.\nAnswer: unknown",
            "latency_s": 0.02 * len(self.cast),
            "by_content": [
                {"contains": question, "then": {"text": _played_answer(name, question, right, knows)}}
                for question, right in self.answers.items()
            ],
        }


def _played_answer(name: str, question: str, right: str, knows: int) -> str:
    """Right for so many questions of a hundred, and the same again each time."""
    drawn = zlib.crc32(f"{name} {question}".encode())
    if drawn % 100 < knows:
        return f"This is played.\nAnswer: {right}"
    return f"This is played.\nAnswer: {drawn % 7}"


def _scenario(stance: str, place: int) -> dict[str, Any]:
    """A member's own text, a ballot when asked to review (the server's own), and an answer when asked to write it."""
    final = {"text": _ANSWER, "first_token_s": 0.3, "time_per_token_s": 0.008}
    return {
        "text": stance,
        "latency_s": 0.3 + 0.25 * (place % 5),
        "by_content": [
            {"contains": "You are reviewing", "then": {"latency_s": 0.2 + 0.1 * (place % 5)}},
            {"contains": "You chair a council", "then": final},
            {"contains": "Write one answer", "then": final},
        ],
    }


@contextlib.contextmanager
def models(*, offline: bool) -> Iterator[Models]:
    """The models of a command, while it runs."""
    if not offline:
        yield Models()
        return
    import fake_server

    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    with fake_server.running_in_thread() as server:
        # Whatever the environment says of real endpoints and keys, this process asks nobody but the server here.
        os.environ.pop("OPENAI_BASE_URL", None)
        os.environ |= {"OPENAI_API_BASE": server.base_url, "OPENAI_API_KEY": "played"}
        print("Offline: the models are played, their answers are made up; nothing is spent.", file=sys.stderr)
        yield PlayedModels(server)
