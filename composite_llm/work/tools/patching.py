"""Applies a unified diff to texts; what does not fit exactly is refused, whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from composite_llm.work.errors import PatchRefused
from composite_llm.work.tools.paths import shown

if TYPE_CHECKING:
    from unidiff.patch import Hunk, PatchedFile

MAX_PATCH_BYTES = 2_000_000


@dataclass(frozen=True, slots=True)
class FileChange:
    """What a patch does to one file.

    Attributes:
        path: The file's.
        before: Whether it has to be there already.
        hunks: In order; empty for an empty new file.
        after: Whether it is there afterwards.
    """

    path: str
    before: bool
    hunks: Sequence[Hunk]
    after: bool


def parsed_patch(text: str) -> list[FileChange]:
    """The changes that a unified diff describes.

    Raises:
        PatchRefused: It is none, or it renames, is binary, or names a file twice.
    """
    from unidiff.errors import UnidiffParseError
    from unidiff.patch import PatchSet

    if len(text.encode("utf-8", errors="replace")) > MAX_PATCH_BYTES:
        raise PatchRefused(f"the patch is longer than {MAX_PATCH_BYTES} bytes")
    try:
        files = PatchSet.from_string(text if text.endswith("\n") else text + "\n")
    except (UnidiffParseError, ValueError) as error:
        raise PatchRefused(f"the patch is no unified diff: {str(error)[:200]}") from None
    changes = [_change(file) for file in files]
    if not changes:
        raise PatchRefused("the patch changes nothing: no file header (---, +++) with a hunk (@@) was found")
    paths = [change.path for change in changes]
    if len(set(paths)) < len(paths):
        raise PatchRefused("the patch names a file twice; put its hunks under one header")
    return changes


def _change(file: PatchedFile) -> FileChange:
    before, after = file.source_file != "/dev/null", file.target_file != "/dev/null"
    if file.is_binary_file or file.is_symlink or file.is_submodule:
        raise PatchRefused(f"{shown(file.path)}: only plain text files are patched")
    source, target = _name(file.source_file), _name(file.target_file)
    if file.is_rename or (before and after and source != target):
        raise PatchRefused(f"{shown(source)}: renames are not applied; delete one file and add the other")
    if not before and not after:
        raise PatchRefused("a file is /dev/null on both sides")
    return FileChange(target if after else source, before, list(file), after)


def _name(header: str) -> str:
    name = header.split("\t", 1)[0].strip()
    return name[2:] if name.startswith(("a/", "b/")) else name


def applied(change: FileChange, text: str) -> str:
    """The file's text after the change.

    Raises:
        PatchRefused: A hunk's lines are not there, or in several places and not where it says.
    """
    ending = "\r\n" if "\r\n" in text else "\n"
    lines = text.split(ending)
    moved = done = 0
    for number, hunk in enumerate(change.hunks, 1):
        old = [_text(line) for line in hunk if line.line_type in (" ", "-", "")]
        new = [_text(line) for line in hunk if line.line_type in (" ", "+", "")]
        at = _position(lines, old, hunk.source_start - (1 if old else 0) + moved, done)
        if at is None:
            raise PatchRefused(f"{shown(change.path)}: hunk {number} does not apply; read the file again")
        lines[at : at + len(old)] = new
        moved = at + len(new) - (hunk.source_start - (1 if old else 0)) - len(old)
        done = at + len(new)
    before_bare, after_bare = _bare_ends(change.hunks[-1]) if change.hunks else (False, False)
    # A text that ends its last line has an empty piece behind it.
    if before_bare and lines and not text.endswith(ending):
        lines.append("")
    if after_bare and lines and not lines[-1]:
        lines.pop()
    return ending.join(lines)


def _text(line: object) -> str:
    return str(getattr(line, "value", "")).rstrip("\n").rstrip("\r")


def _position(lines: list[str], old: list[str], wanted: int, earliest: int) -> int | None:
    """Where the old lines are: where the hunk says, else the one place that has them. Never above an earlier hunk."""
    if not old:
        return wanted if earliest <= wanted <= len(lines) else None
    if wanted >= earliest and lines[wanted : wanted + len(old)] == old:
        return wanted
    places = [at for at in range(earliest, len(lines) - len(old) + 1) if lines[at : at + len(old)] == old]
    return places[0] if len(places) == 1 else None


def _bare_ends(hunk: Hunk) -> tuple[bool, bool]:
    """Whether the old and the new last line have no line end, as the diff's own remark says."""
    before = after = False
    previous = " "
    for line in hunk:
        if line.line_type == "\\":
            before, after = before or previous != "+", after or previous != "-"
        previous = line.line_type
    return before, after
