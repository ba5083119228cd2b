"""The questions of a comparison, from JSON lines, CSV or YAML."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import mimetypes
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from composite_llm.model.errors import InvalidConfig
from composite_llm.model.near_misses import near_miss

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_LISTS = ("choices", "files")


class Question(BaseModel):
    """One question, and what is known about its answer."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True, protected_namespaces=())

    question: str = Field(min_length=1)
    id: str = ""
    """In reports; the number of the question where absent."""
    answer: Any = None
    """A text, a number, a letter or text of `choices`, JSON, or a pattern for the score `regex`."""
    choices: tuple[str, ...] = Field(default=(), max_length=len(LETTERS))
    """Texts to choose from; they are shown with letters."""
    answer_schema: dict[str, Any] | None = Field(default=None, alias="schema")
    """A JSON Schema of the answer; it is also sent as `response_format`."""
    files: tuple[str, ...] = ()
    """Texts and pictures that belong to the question, relative to the file of the questions."""
    score: str | None = None
    """How this one is scored, whatever the others are."""
    tolerance: float | str | None = None
    """Of a number: absolute, or with a percent sign relative."""
    system: str | None = None
    """A system prompt."""
    category: str | None = None
    """For a person who reads the results."""

    @field_validator("id", mode="before")
    @classmethod
    def _text(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int | float) else value

    @field_validator(*_LISTS, mode="before")
    @classmethod
    def _texts(cls, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return tuple(str(one) if isinstance(one, int | float) else one for one in value)
        return value


_NAMES = frozenset(field.alias or name for name, field in Question.model_fields.items())


def load_questions(path: Path) -> list[Question]:
    """The questions of a file.

    Args:
        path: `.jsonl`, `.json` (a list), `.csv`, `.tsv`, `.yaml` or `.yml`.

    Raises:
        InvalidConfig: The file, a line of it or a question cannot be used.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InvalidConfig(f"{path}: {error.strerror or 'cannot be read'}") from None
    except UnicodeDecodeError:
        raise InvalidConfig(f"{path}: is not UTF-8 text") from None
    questions = [_question(path, place, entry, number) for number, (place, entry) in enumerate(_entries(path, text), 1)]
    if not questions:
        raise InvalidConfig(f"{path}: holds no question")
    seen: set[str] = set()
    for question in questions:
        if question.id in seen:
            raise InvalidConfig(f"{path}: the id {question.id!r} stands there twice")
        seen.add(question.id)
    return questions


def _entries(path: Path, text: str) -> Iterator[tuple[str, Any]]:
    """Each question as it stands there, and where that is."""
    kind = path.suffix.lower()
    if kind in (".csv", ".tsv"):
        return _rows(path, text, "\t" if kind == ".tsv" else ",")
    if kind in (".jsonl", ".ndjson"):
        return _lines(path, text)
    if kind in (".yaml", ".yml", ".json"):
        return _listed(path, text)
    raise InvalidConfig(f"{path}: the kind of the file is unknown; allowed: .jsonl, .json, .csv, .tsv, .yaml")


def _lines(path: Path, text: str) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield f"line {number}", json.loads(line)
            except (ValueError, RecursionError):
                raise InvalidConfig(f"{path}, line {number}: is no JSON") from None


def _listed(path: Path, text: str) -> Iterator[tuple[str, Any]]:
    try:
        # JSON is YAML too, and much faster as what it is.
        content = json.loads(text) if path.suffix.lower() == ".json" else yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        raise InvalidConfig(f"{path}: is no {path.suffix[1:].upper()}") from None
    if isinstance(content, Mapping):
        content = content.get("questions")
    if not isinstance(content, list):
        raise InvalidConfig(f"{path}: holds no list of questions")
    for number, entry in enumerate(content, 1):
        yield f"question {number}", entry


def _rows(path: Path, text: str, delimiter: str) -> Iterator[tuple[str, Any]]:
    reader = csv.DictReader(io.StringIO(text), delimiter=delimiter, strict=True)
    try:
        for row in reader:
            if None in row:
                raise InvalidConfig(f"{path}, line {reader.line_num}: has more cells than the first line")
            cells = {name: value for name, value in row.items() if value not in (None, "")}
            yield f"line {reader.line_num}", {name: _cell(name, value) for name, value in cells.items()}
    except csv.Error as error:
        raise InvalidConfig(f"{path}, line {reader.line_num}: {error}") from None


def _cell(name: str, value: str) -> Any:
    """A cell of a table: lists as JSON or with bars between them, a schema as JSON, all else as text."""
    if name == "schema" or (name in _LISTS and value.lstrip().startswith("[")):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return [part.strip() for part in value.split("|")] if name in _LISTS else value


def _question(path: Path, place: str, entry: Any, number: int) -> Question:
    if isinstance(entry, str):
        entry = {"question": entry}
    if not isinstance(entry, Mapping):
        raise InvalidConfig(f"{path}, {place}: is no question")
    for name in entry:
        meant = None if name in _NAMES else near_miss(str(name), _NAMES - {"id"})
        if meant is not None:
            raise InvalidConfig(f"{path}, {place}: {name!r} is unknown; did you mean {meant!r}?")
    try:
        found = Question.model_validate({"id": str(number), **entry})
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise InvalidConfig(f"{path}, {place}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    if found.choices and found.answer is not None and choice_letter(found, found.answer) is None:
        raise InvalidConfig(f"{path}, {place}: the answer {found.answer!r} is none of the choices")
    return found.model_copy(update={"files": tuple(str(path.parent / name) for name in found.files)})


def choice_letter(question: Question, answer: Any) -> str | None:
    """The letter of a choice that is given as its letter or its text; a text comes first."""
    wanted = " ".join(str(answer).split()).casefold()
    for letter, choice in zip(LETTERS, question.choices, strict=False):
        if " ".join(choice.split()).casefold() == wanted:
            return letter
    letters = LETTERS[: len(question.choices)]
    return wanted.upper() if len(wanted) == 1 and wanted.upper() in letters else None


def messages_of(question: Question, instruction: str | None) -> list[dict[str, Any]]:
    """The conversation that everybody is asked.

    Args:
        question: What is asked.
        instruction: In which form the answer should come.

    Raises:
        InvalidConfig: One of its files cannot be read.
    """
    choices = "\n".join(f"{letter}) {choice}" for letter, choice in zip(LETTERS, question.choices, strict=False))
    text = "\n\n".join(part for part in (question.question, choices, instruction) if part)
    parts = [_part(Path(name)) for name in question.files]
    content: Any = [*parts, {"type": "text", "text": text}] if parts else text
    head = [{"role": "system", "content": question.system}] if question.system else []
    return [*head, {"role": "user", "content": content}]


def _part(path: Path) -> dict[str, Any]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InvalidConfig(f"{path}: {error.strerror or 'cannot be read'}") from None
    kind = mimetypes.guess_type(path.name)[0] or ""
    url = f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
    if kind.startswith("image/") and kind != "image/svg+xml":
        return {"type": "image_url", "image_url": {"url": url}}
    if kind == "application/pdf":
        return {"type": "file", "file": {"filename": path.name, "file_data": url}}
    try:
        return {"type": "text", "text": f"{path.name}:\n{data.decode('utf-8')}"}
    except UnicodeDecodeError:
        raise InvalidConfig(f"{path}: is neither UTF-8 text nor a picture nor a PDF") from None


def fingerprint(*parts: Any) -> str:
    """A short name for what was asked of whom, so that a finished answer is found again and a changed question is not."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:20]
