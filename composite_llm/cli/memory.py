"""`composite memory`: what is known about a project."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from composite_llm.cli.exits import fail, misuse
from composite_llm.cli.lazy_group import Entry, new_app
from composite_llm.cli.output import Json, print_json, print_table

_HERE = "composite_llm.cli.memory"

COMMANDS: dict[str, Entry] = {
    "add": Entry(
        f"{_HERE}:add", "Remember a fact.", 'composite memory add database "SQLite in WAL mode" --source DESIGN.md'
    ),
    "search": Entry(
        f"{_HERE}:search", "Find passages by words, the best first.", 'composite memory search "who adds prices"'
    ),
    "show": Entry(f"{_HERE}:show", "Show facts, and what was noted last.", "composite memory show"),
    "forget": Entry(
        f"{_HERE}:forget", "Forget a fact, or what was indexed of a file.", "composite memory forget database"
    ),
    "index": Entry(
        f"{_HERE}:index", "Read the project's text files, as far as they changed.", "composite memory index src"
    ),
}
"""Every command, in the order of `composite memory --help`."""

app = new_app(COMMANDS)

ProjectOption = Annotated[Path, typer.Option("--project", help="The project's folder.", show_default="here")]


@app.callback()
def memory() -> None:
    """Keep what is known about a project, and find it again."""


def add(
    key: Annotated[str, typer.Argument(help="Names the fact.")],
    value: Annotated[str, typer.Argument(help="The fact.")],
    source: Annotated[str, typer.Option("--source", help="Where it is from.")] = "",
    project: ProjectOption = Path(),
) -> None:
    """Remember a fact."""
    from composite_llm.work import Memory

    Memory(project).remember(key, value, source)


def search(
    query: Annotated[str, typer.Argument(help="Words.")],
    max_tokens: Annotated[int, typer.Option("--max-tokens", help="About so many tokens at most.")] = 2000,
    project: ProjectOption = Path(),
    as_json: Json = False,
) -> None:
    """Find passages by words, the best first."""
    from composite_llm.work import Memory

    if max_tokens < 1:
        misuse("--max-tokens is a number above 0")
    passages = Memory(project).search(query, max_tokens)
    if as_json:
        print_json(passages)
        return
    for excerpt in passages:
        print(f"{excerpt.source}\n{excerpt.text}\n")
    if not passages:
        fail("nothing was found")


def show(project: ProjectOption = Path(), as_json: Json = False) -> None:
    """Show facts, and what was noted last."""
    from composite_llm.work import Memory

    known = Memory(project)
    if as_json:
        print_json({"facts": known.facts(), "history": known.history()})
        return
    print_table(["key", "value", "source"], [[fact.key, fact.value, fact.source] for fact in known.facts()])
    for note in known.history():
        print(f"{note['kind']}: {note['text']}")


def forget(
    key: Annotated[str, typer.Argument(help="Of a fact, or a file's path.")], project: ProjectOption = Path()
) -> None:
    """Forget a fact, or what was indexed of a file."""
    from composite_llm.work import Memory

    if not Memory(project).forget(key):
        fail(f"there is neither a fact nor a file {key!r}")


def index(
    path: Annotated[str, typer.Argument(help="A folder or file of the project.", show_default="all of it")] = ".",
    project: ProjectOption = Path(),
    as_json: Json = False,
) -> None:
    """Read the project's text files, as far as they changed."""
    from composite_llm.work import Memory

    done = Memory(project).index(path)
    if as_json:
        print_json(done)
    else:
        print(f"{done.added} read, {done.unchanged} unchanged, {done.removed} gone, {done.skipped} left out")
