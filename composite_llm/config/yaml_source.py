"""A configuration as it is written: its content, and where in the file each key of it stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from composite_llm.model.errors import InvalidConfig

KeyPath = tuple[str, ...]
"""Keys from the top of a document inwards; an entry of a list by its number, from 0."""

_DEEPEST = 20


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a file, both counted from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Source:
    """A configuration and where it comes from.

    Attributes:
        name: The file's path; `config` for a mapping.
        content: What is in it; None for an empty file.
        places: Where each key stands; empty for a mapping.
        repeated: Keys that are there a second time, which YAML would let win.
    """

    name: str
    content: Any
    places: Mapping[KeyPath, Place] = field(default_factory=dict)
    repeated: tuple[tuple[KeyPath, Place], ...] = ()

    def place(self, path: KeyPath) -> Place | None:
        """Where a key stands, or else the nearest one around it."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path)


class UnreadableConfig(InvalidConfig):
    """A file that is no YAML document of the expected form.

    Attributes:
        place: Where the reader stumbled, if it knows.
        problem: The message without file and place.
        is_yaml: Whether it is YAML all the same.
    """

    def __init__(self, name: str, problem: str, place: Place | None = None, *, is_yaml: bool = False) -> None:
        super().__init__(f"{name}{f', line {place.line}' if place else ''}: {problem}")
        self.problem = problem
        self.place = place
        self.is_yaml = is_yaml


def read_source(path: Path) -> Source:
    """A file's content.

    Raises:
        UnreadableConfig: There is no such file, or it is no YAML mapping.
    """
    name = str(path)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UnreadableConfig(name, "is not UTF-8 text") from None
    except OSError as error:
        raise UnreadableConfig(name, error.strerror or "cannot be read") from None
    try:
        document = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = Place(mark.line + 1, mark.column + 1) if mark is not None else None
        problem = getattr(error, "problem", None) or "unreadable"
        raise UnreadableConfig(name, f"not valid YAML: {problem}", place) from None
    except (ValueError, RecursionError):
        raise UnreadableConfig(name, "not valid YAML") from None
    places: dict[KeyPath, Place] = {}
    repeated = []
    for key, place in _keys(document, (), name):
        if key in places:
            repeated.append((key, place))
        else:
            places[key] = place
    if content is not None and not isinstance(content, Mapping):
        raise UnreadableConfig(name, "the top level must be a mapping with 'profiles'", is_yaml=True)
    return Source(name, content, places, tuple(repeated))


def _keys(node: yaml.Node | None, path: KeyPath, file: str, depth: int = 0) -> Iterator[tuple[KeyPath, Place]]:
    if depth > _DEEPEST:
        raise UnreadableConfig(file, f"nested more than {_DEEPEST} levels deep")
    if isinstance(node, yaml.MappingNode):
        entries = [(str(key.value), key, value) for key, value in node.value]
    elif isinstance(node, yaml.SequenceNode):
        entries = [(str(index), value, value) for index, value in enumerate(node.value)]
    else:
        return
    for key, marked, value in entries:
        yield (*path, key), Place(marked.start_mark.line + 1, marked.start_mark.column + 1)
        yield from _keys(value, (*path, key), file, depth + 1)
