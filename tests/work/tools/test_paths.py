"""Nothing outside of the root is reached, whatever the path, the links or the moment."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from composite_llm import InvalidOption
from composite_llm.work import PathRefused
from composite_llm.work.tools.files import FileTools
from composite_llm.work.tools.paths import Root, is_hidden


@pytest.fixture
def files(project: Path) -> FileTools:
    return FileTools(Root(project))


@pytest.mark.parametrize(
    "path",
    [
        "../outside.txt",
        "src/../../outside.txt",
        "./../outside.txt",
        "src/../src/../../outside.txt",
        "/etc/passwd",
        "//etc/passwd",
        "src/\0/../../outside.txt",
        "",
        "..",
        "nothing/../../outside.txt",
        "README/../../outside.txt",
    ],
)
def test_a_path_does_not_lead_out(files: FileTools, path: str) -> None:
    for use in (
        files.read_file,
        files.list_files,
        lambda p: files.write_file(p, "x"),
        lambda p: files.search_files("o", p),
    ):
        with pytest.raises(PathRefused):
            use(path)
    assert (files.root.path.parent / "outside.txt").read_text() == "outside-content\n"


def test_an_absolute_path_inside_is_the_same_as_a_relative_one(files: FileTools, project: Path) -> None:
    assert "read me" in files.read_file(str(project / "README"))


@pytest.mark.parametrize("target", ["../outside.txt", "/etc/passwd", "src/../../outside.txt"])
def test_a_link_out_is_neither_read_nor_written(files: FileTools, project: Path, target: str) -> None:
    (project / "link").symlink_to(target)
    with pytest.raises(PathRefused):
        files.read_file("link")
    with pytest.raises(PathRefused):
        files.write_file("link", "x")
    assert (project.parent / "outside.txt").read_text() == "outside-content\n"


def test_a_linked_folder_out_is_not_entered(files: FileTools, project: Path) -> None:
    (project / "up").symlink_to("..")
    for path in ("up", "up/outside.txt", "up/project/README/../../outside.txt"):
        with pytest.raises(PathRefused):
            files.read_file(path)
    with pytest.raises(PathRefused):
        files.list_files("up")
    assert "outside-content" not in files.search_files("outside")
    assert "up/outside.txt" not in files.list_files(".", recursive=True)


def test_links_inside_are_followed(files: FileTools, project: Path) -> None:
    (project / "code").symlink_to("src")
    (project / "src" / "first").symlink_to("../README")
    (project / "absolute").symlink_to(project / "src" / "app.py")
    assert "return a - b" in files.read_file("code/app.py")
    assert "read me" in files.read_file("code/first")
    assert "return a - b" in files.read_file("absolute")
    files.write_file("code/first", "changed\n")
    assert (project / "README").read_text() == "changed\n"
    assert (project / "src" / "first").is_symlink()


def test_a_circle_of_links_ends(files: FileTools, project: Path) -> None:
    (project / "a").symlink_to("b")
    (project / "b").symlink_to("a")
    with pytest.raises(PathRefused, match="too many links"):
        files.read_file("a")


def test_a_hard_link_is_neither_read_nor_written(files: FileTools, project: Path) -> None:
    os.link(project.parent / "outside.txt", project / "hard")
    for use in (files.read_file, lambda p: files.write_file(p, "x")):
        with pytest.raises(PathRefused, match="hard link"):
            use("hard")
    assert "outside-content" not in files.search_files("outside-content")
    assert (project.parent / "outside.txt").read_text() == "outside-content\n"


def test_pipes_devices_and_sockets_are_refused_at_once(files: FileTools, project: Path) -> None:
    os.mkfifo(project / "pipe")
    with socket.socket(socket.AF_UNIX) as bound:
        here = os.getcwd()
        os.chdir(project)
        try:
            bound.bind("socket")
        finally:
            os.chdir(here)
        for name in ("pipe", "socket"):
            with pytest.raises(PathRefused):
                files.read_file(name)
            with pytest.raises(PathRefused):
                files.write_file(name, "x")
    assert "read me" in files.search_files("read me")


@pytest.mark.parametrize(
    "path", [".git/config", ".GIT/config", "src/.Git/x", ".git", ".gi\u200dt/x", "\uff0egit/x", ".git./x"]
)
def test_gits_own_folder_is_not_written(files: FileTools, project: Path, path: str) -> None:
    (project / ".git").mkdir()
    with pytest.raises(PathRefused):
        files.write_file(path, "[core]\n")
    assert not list((project / ".git").iterdir())


def test_gits_own_folder_is_not_written_through_a_link(files: FileTools, project: Path) -> None:
    (project / ".git").mkdir()
    (project / "settings").symlink_to(".git")
    with pytest.raises(PathRefused):
        files.write_file("settings/config", "x")


def test_the_projects_state_is_not_there_for_tools(files: FileTools, project: Path) -> None:
    (project / ".composite").mkdir()
    (project / ".composite" / "memory.sqlite").write_text("state-content")
    (project / "door").symlink_to(".composite")
    for path in (".composite/memory.sqlite", ".Composite/memory.sqlite", "door/memory.sqlite"):
        for use in (files.read_file, lambda p: files.write_file(p, "x")):
            with pytest.raises(PathRefused):
                use(path)
    assert "state-content" not in files.search_files("state-content")
    assert ".composite" not in files.list_files(".", recursive=True)
    with pytest.raises(PathRefused):
        files.search_files("state-content", "door")


def test_a_name_is_hidden_in_every_spelling_that_a_file_system_may_take_for_it() -> None:
    assert is_hidden("a/.COMPOSITE/b")
    assert not is_hidden("a/composite/b")


def test_a_root_that_was_replaced_is_not_used(files: FileTools, project: Path) -> None:
    project.rename(project.parent / "moved")
    project.mkdir()
    (project / "README").write_text("another")
    with pytest.raises(PathRefused, match="replaced"):
        files.read_file("README")


def test_a_root_that_became_a_link_is_not_used(files: FileTools, project: Path) -> None:
    project.rename(project.parent / "moved")
    project.symlink_to("moved")
    with pytest.raises(PathRefused):
        files.read_file("README")


@pytest.mark.parametrize("root", ["missing", "README"])
def test_a_root_is_a_folder_that_exists(project: Path, root: str) -> None:
    with pytest.raises(InvalidOption):
        Root(project / root)


def test_exchanging_a_folder_for_a_link_never_shows_what_is_outside(project: Path) -> None:
    """A race: one side swaps a folder with a link out as fast as it can, the other reads and writes through it."""
    outside = project.parent / "out"
    outside.mkdir()
    (outside / "file.txt").write_text("outside-content")
    real, link, spare = project / "dir", project / "link", project / "spare"
    real.mkdir()
    (real / "file.txt").write_text("inside-content")
    link.symlink_to("../out")
    files = FileTools(Root(project))
    over = threading.Event()

    def put(what: Path) -> None:
        while True:
            try:
                what.rename(real)
            except OSError:
                # The other side has made the folder that it missed.
                shutil.rmtree(real, ignore_errors=True)
            else:
                return

    def swap() -> None:
        while not over.is_set():
            real.rename(spare)
            put(link)
            real.rename(link)
            put(spare)

    swapper = threading.Thread(target=swap)
    swapper.start()
    read = 0
    try:
        for _ in range(1500):
            try:
                text = files.read_file("dir/file.txt")
                files.write_file("dir/new.txt", "written")
            except (PathRefused, FileNotFoundError):
                continue
            read += 1
            assert "outside-content" not in text
    finally:
        over.set()
        swapper.join()
    assert read > 0
    assert sorted(entry.name for entry in outside.iterdir()) == ["file.txt"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(
    parts=st.lists(
        st.sampled_from(["..", ".", "src", "up", "in", "abs", "README", "outside.txt", "project", ""]), max_size=8
    )
)
def test_no_mix_of_links_and_dots_reads_what_is_outside(
    tmp_path_factory: pytest.TempPathFactory, parts: list[str]
) -> None:
    base = tmp_path_factory.getbasetemp() / "mix"
    root = base / "project"
    if not root.exists():
        (root / "src").mkdir(parents=True)
        (base / "outside.txt").write_text("outside-content")
        (root / "README").write_text("read me")
        (root / "up").symlink_to("..")
        (root / "in").symlink_to("src/../src")
        (root / "abs").symlink_to(root)
    try:
        text = FileTools(Root(root)).text("/".join(parts))
    except PathRefused:
        return
    assert text == "read me"
