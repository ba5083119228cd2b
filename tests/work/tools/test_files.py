"""Reading, listing, searching, writing and patching."""

from __future__ import annotations

import difflib
import os
import shutil
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from composite_llm.work import PatchRefused, PathRefused
from composite_llm.work.tools import files as files_module
from composite_llm.work.tools.files import FileTools
from composite_llm.work.tools.patching import applied, parsed_patch
from composite_llm.work.tools.paths import Root

PATCH = """\
--- a/src/app.py
+++ b/src/app.py
@@ -1,2 +1,2 @@
 def add(a, b):
-    return a - b
+    return a + b
"""


@pytest.fixture
def files(project: Path) -> FileTools:
    return FileTools(Root(project))


def inner(result: str) -> str:
    """What stands between the marks."""
    return "\n".join(result.splitlines()[1:-1])


def unified(before: str, after: str, path: str = "src/app.py") -> str:
    lines = difflib.unified_diff(before.splitlines(True), after.splitlines(True), f"a/{path}", f"b/{path}")
    return "".join(line if line.endswith("\n") else line + "\n\\ No newline at end of file\n" for line in lines)


def test_a_file_is_read_whole_or_by_lines(files: FileTools, project: Path) -> None:
    (project / "long").write_text("".join(f"line {n}\n" for n in range(1, 11)))
    assert inner(files.read_file("long")).count("line") == 10
    some = files.read_file("long", first_line=3, lines=2)
    assert inner(some) == "line 3\nline 4"
    assert "lines 3 to 4 of 10" in some


@pytest.mark.parametrize(
    ("content", "problem"), [(b"a\0b", "binary"), (b"\xff\xfe", "UTF-8"), (b"x" * 1_000_001, "bytes")]
)
def test_what_is_no_text_is_not_read(files: FileTools, project: Path, content: bytes, problem: str) -> None:
    (project / "blob").write_bytes(content)
    with pytest.raises(PathRefused, match=problem):
        files.read_file("blob")


def test_a_listing_shows_folders_by_a_slash_and_goes_down_when_asked(files: FileTools) -> None:
    assert inner(files.list_files()).splitlines() == ["README", "src/"]
    assert inner(files.list_files(recursive=True)).splitlines() == ["README", "src/", "src/app.py"]
    with pytest.raises(PathRefused):
        files.list_files("README")


def test_a_long_listing_is_cut(files: FileTools, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_module, "MAX_ENTRIES", 1)
    assert "and more" in files.list_files()


def test_a_name_that_is_no_utf8_does_not_break_the_listing(files: FileTools, project: Path) -> None:
    (project / os.fsdecode(b"bad\xff")).write_text("needle here")
    assert "bad?" in files.list_files()
    assert "needle" in files.search_files("needle")


@pytest.mark.parametrize("ripgrep", [True, False])
def test_a_search_names_path_and_line(
    files: FileTools, project: Path, monkeypatch: pytest.MonkeyPatch, ripgrep: bool
) -> None:
    if not ripgrep:
        monkeypatch.setattr(shutil, "which", lambda name: None)
    (project / ".hidden").write_text("return of the file\n")
    (project / "node_modules").mkdir()
    (project / "node_modules" / "x.js").write_text("return 1\n")
    assert inner(files.search_files(r"retur\w")).splitlines() == [
        ".hidden:1: return of the file",
        "src/app.py:2:     return a - b",
    ]
    assert inner(files.search_files("return", "src/app.py")) == "src/app.py:2:     return a - b"
    assert inner(files.search_files(r"(?<=return )a")) == "src/app.py:2:     return a - b"
    assert "(no match)" in files.search_files("nowhere")
    with pytest.raises(ValueError, match="no regular expression"):
        files.search_files("(")


def test_a_pattern_that_takes_for_ever_is_ended(files: FileTools, project: Path) -> None:
    (project / "evil").write_text("a" * 200 + "\n")
    with pytest.raises(TimeoutError):
        files.search_files(r"(a|a)*(a|a)*(?=x)[^a]\1(?<=b)", "evil")


def test_too_many_matches_are_cut(files: FileTools, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_module, "MAX_MATCHES", 3)
    (project / "many").write_text("x\n" * 50)
    assert inner(files.search_files("x", "many")).count("many:") == 3


def test_a_written_file_keeps_its_mode_and_new_folders_are_made(files: FileTools, project: Path) -> None:
    (project / "README").chmod(0o4750)
    assert files.write_file("README", "new\n").startswith("replaced")
    assert stat.S_IMODE((project / "README").stat().st_mode) == 0o750
    assert files.write_file("a/b/c.txt", "x").startswith("created")
    assert (project / "a" / "b" / "c.txt").read_text() == "x"


def test_a_file_that_is_read_only_for_others_is_replaced_as_a_whole(files: FileTools, project: Path) -> None:
    with (project / "README").open() as opened:
        files.write_file("README", "new\n")
        assert opened.read() == "read me\n"


@pytest.mark.parametrize(
    ("path", "content"), [("src", "x"), ("README/x", "x"), ("ok", "a\ud83d"), ("ok", "x" * 5_000_001)]
)
def test_what_cannot_be_written_leaves_nothing_behind(files: FileTools, project: Path, path: str, content: str) -> None:
    before = sorted(project.rglob("*"))
    with pytest.raises(PathRefused):
        files.write_file(path, content)
    assert sorted(project.rglob("*")) == before


def test_a_patch_is_applied(files: FileTools, project: Path) -> None:
    assert files.apply_patch(PATCH) == "patched src/app.py"
    assert (project / "src" / "app.py").read_text() == "def add(a, b):\n    return a + b\n"


def test_a_patch_makes_and_removes_files(files: FileTools, project: Path) -> None:
    files.apply_patch(
        "--- /dev/null\n+++ b/docs/new.md\n@@ -0,0 +1,2 @@\n+one\n+two\n--- a/README\n+++ /dev/null\n@@ -1 +0,0 @@\n-read me\n"
    )
    assert (project / "docs" / "new.md").read_text() == "one\ntwo\n"
    assert not (project / "README").exists()


def test_a_hunk_whose_line_numbers_are_off_is_applied_where_its_lines_are(files: FileTools, project: Path) -> None:
    files.apply_patch(PATCH.replace("@@ -1,2 +1,2 @@", "@@ -40,2 +40,2 @@"))
    assert "a + b" in (project / "src" / "app.py").read_text()


def test_a_hunk_that_fits_in_two_places_is_refused(files: FileTools, project: Path) -> None:
    (project / "src" / "app.py").write_text("x = 1\n" * 2)
    with pytest.raises(PatchRefused, match="does not apply"):
        files.apply_patch("--- a/src/app.py\n+++ b/src/app.py\n@@ -9 +9 @@\n-x = 1\n+x = 2\n")


@pytest.mark.parametrize(
    "patch",
    [
        "",
        "nothing like a diff",
        PATCH.replace("return a - b", "return a * b"),
        PATCH + PATCH,
        PATCH + "--- a/missing\n+++ b/missing\n@@ -1 +1 @@\n-x\n+y\n",
        PATCH + "--- a/README\n+++ b/README\n@@ -1 +1 @@\n-not this\n+y\n",
        PATCH + "--- /dev/null\n+++ b/README\n@@ -0,0 +1 @@\n+there already\n",
        PATCH + "--- /dev/null\n+++ b/../outside.txt\n@@ -0,0 +1 @@\n+out\n",
        PATCH + "--- a/../outside.txt\n+++ b/../outside.txt\n@@ -1 +1 @@\n-outside-content\n+out\n",
        PATCH + "--- /dev/null\n+++ b/.git/hooks/post-checkout\n@@ -0,0 +1 @@\n+out\n",
        PATCH + "--- a/README\n+++ /dev/null\n@@ -0,0 +0,0 @@\n",
        PATCH + "diff --git a/README b/OTHER\nsimilarity index 100%\nrename from README\nrename to OTHER\n",
        PATCH
        + "diff --git a/l b/l\nnew file mode 120000\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n+/etc/passwd\n\\ No newline at end of file\n",
        PATCH.replace("@@ -1,2 +1,2 @@", "@@ -1,9 +1,2 @@"),
        "x" * 2_000_001,
    ],
)
def test_a_patch_that_does_not_fit_changes_nothing(files: FileTools, project: Path, patch: str) -> None:
    with pytest.raises((PatchRefused, PathRefused)):
        files.apply_patch(patch)
    assert (project / "src" / "app.py").read_text() == "def add(a, b):\n    return a - b\n"
    assert (project / "README").read_text() == "read me\n"
    assert (project.parent / "outside.txt").read_text() == "outside-content\n"
    assert not [path for path in project.rglob("*") if path.name.endswith(".tmp")]


def test_a_patch_that_fails_half_way_is_taken_back(
    files: FileTools, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, times = os.replace, []

    def failing(*args: object, **kwargs: object) -> None:
        times.append(1)
        if len(times) == 2:
            raise OSError(28, "No space left on device")
        real(*args, **kwargs)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(OSError, match="No space"):
        files.apply_patch(PATCH + "--- a/README\n+++ b/README\n@@ -1 +1 @@\n-read me\n+changed\n")
    assert (project / "src" / "app.py").read_text() == "def add(a, b):\n    return a - b\n"
    assert (project / "README").read_text() == "read me\n"
    assert not [path for path in project.rglob("*") if path.name.endswith(".tmp")]


def test_a_file_that_changed_meanwhile_is_not_overwritten_by_a_patch(files: FileTools, project: Path) -> None:
    with pytest.raises(PatchRefused, match="changed meanwhile"):
        files._replace({"README": "new"}, expected={"README": "what it was"})
    assert (project / "README").read_text() == "read me\n"


def test_two_names_of_one_file_are_not_written_at_once(files: FileTools, project: Path) -> None:
    (project / "other").symlink_to("README")
    with pytest.raises(PathRefused, match="one file"):
        files._replace({"README": "a", "other": "b"})
    assert (project / "README").read_text() == "read me\n"


LINES = st.lists(st.sampled_from(["a", "b", "", "  x", "-y", "+z", "@@", "--- q"]), max_size=12)
TEXTS = st.builds(lambda lines, end: "\n".join(lines) + ("\n" if end and lines else ""), LINES, st.booleans())


@given(before=TEXTS, after=TEXTS)
def test_every_diff_of_two_texts_leads_from_one_to_the_other(before: str, after: str) -> None:
    patch = unified(before, after)
    if patch:
        [change] = parsed_patch(patch)
        assert applied(change, before) == after


@given(before=TEXTS.filter(bool), after=TEXTS.filter(bool))
def test_line_ends_of_the_file_stay(before: str, after: str) -> None:
    patch = unified(before, after)
    if patch and "\n" in before:
        [change] = parsed_patch(patch)
        assert applied(change, before.replace("\n", "\r\n")) == after.replace("\n", "\r\n")


@given(st.text(alphabet="-+@ab/ ,1\n\\", max_size=200))
def test_whatever_a_model_calls_a_patch_is_read_or_refused(text: str) -> None:
    try:
        for change in parsed_patch(text):
            applied(change, "a\nb\n")
    except PatchRefused:
        pass
