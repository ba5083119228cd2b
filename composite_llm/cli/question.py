"""The messages of a question: its words, what comes from standard input, and files."""

from __future__ import annotations

import base64
import mimetypes
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from composite_llm.cli.exits import misuse

_LONGEST_FILE = 20_000_000
"""Bytes; beyond it a file is a mistake, and would take a minute to become a prompt."""


def messages_of(question: str | None, system: str | None, files: Sequence[Path]) -> list[dict[str, Any]]:
    """The conversation of one question.

    Standard input is the question when none is given, and material for it otherwise.

    Raises:
        Misused: There is no question, or a file cannot be read.
    """
    parts = [_part(path) for path in files]
    piped = _standard_input()
    if piped and question is not None:
        parts.append(_text_part(piped, "standard input"))
    text = question if question is not None else piped
    if not (text or "").strip():
        misuse("there is no question: give one, or send it to standard input")
    said: Any = _content(text or "", parts)
    head = [{"role": "system", "content": system}] if system else []
    return [*head, {"role": "user", "content": said}]


def _standard_input() -> str:
    """What was piped in; nothing from a terminal, where reading would wait for a person."""
    if sys.stdin is None or sys.stdin.closed or sys.stdin.isatty():
        return ""
    try:
        return sys.stdin.read().rstrip("\n")
    except UnicodeDecodeError:
        misuse("standard input is not UTF-8 text; name a picture with --file")


def _content(question: str, parts: Sequence[dict[str, Any]]) -> str | list[dict[str, Any]]:
    if all(part["type"] == "text" for part in parts):
        return "\n\n".join([*(part["text"] for part in parts), question])
    return [*parts, {"type": "text", "text": question}]


def _part(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _LONGEST_FILE:
            misuse(f"--file {path}: has more than {_LONGEST_FILE // 1_000_000} MB")
        content = path.read_bytes()
    except OSError as error:
        misuse(f"--file {path}: {error.strerror or 'cannot be read'}")
    kind = mimetypes.guess_type(path.name)[0] or ""
    if kind.startswith("image/") and kind != "image/svg+xml":
        return {"type": "image_url", "image_url": {"url": _data_url(kind, content)}}
    if kind == "application/pdf":
        return {"type": "file", "file": {"filename": path.name, "file_data": _data_url(kind, content)}}
    try:
        return _text_part(content.decode("utf-8"), path.name)
    except UnicodeDecodeError:
        misuse(f"--file {path}: is neither UTF-8 text nor a picture nor a PDF")


def _data_url(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _text_part(text: str, name: str) -> dict[str, Any]:
    # A fence longer than any in the text, so that the text cannot end it.
    fence = "```"
    while fence in text:
        fence += "`"
    return {"type": "text", "text": f"{name}:\n{fence}\n{text}\n{fence}"}
