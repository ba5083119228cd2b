"""Runs a document's blocks in order, as a reader would type them, and compares what they print with what the document shows."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tests.docs.blocks import ROOT, Block, blocks, document
from tests.docs.commands import check_words

_SECONDS = re.compile(r"\d+\.\d s\b")
_CUT = "…"
QUESTION = [{"role": "user", "content": "Postgres or SQLite?"}]


class Reader:
    """One reader of one document, in one interpreter and one working directory.

    Args:
        name: The document.
        directory: Where the files that it shows are written.
    """

    def __init__(self, name: str, directory: Path) -> None:
        self._name = name
        self._directory = directory
        self._names: dict[str, Any] = {"__name__": "__main__"}
        self._printed: str | None = None
        self._run: dict[str, Callable[[Block], None]] = {
            "python": self._python,
            "bash": self._bash,
            "yaml": self._yaml,
            "text": self._text,
        }

    def read(self) -> None:
        """Every block; an unknown language is an error, so that no block goes unchecked."""
        for block in blocks(document(self._name)):
            self._run[block.language](block)

    def _python(self, block: Block) -> None:
        # Blank lines before it, so that a traceback names the document's own line.
        code = compile("\n" * (block.line - 1) + block.text, self._name, "exec")
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, self._names)
        self._printed = printed.getvalue()

    def _yaml(self, block: Block) -> None:
        assert block.file_name, f"{self._name}:{block.line}: the first line of a YAML block is its file's name"
        content = yaml.safe_load(block.text)
        (self._directory / block.file_name).write_text(block.text, encoding="utf-8")
        check = check_proxy_config if "model_list" in content else check_profiles
        if "steps" in content:
            check = check_workflow
        check(self._directory / block.file_name)

    def _bash(self, block: Block) -> None:
        for line in block.text.splitlines():
            check_command(line, self._directory)
            self._printed = printed_by_demo() if line == "make demo" else None

    def _text(self, block: Block) -> None:
        if self._printed is not None:
            where = f"{self._name}:{block.line}"
            missing = lines_not_in(self._printed, block.text)
            assert not missing, f"{where}: {missing} not in what was printed:\n{self._printed}"
            self._printed = None


def check_workflow(path: Path) -> None:
    """That it can be read."""
    from composite_llm.work import load_workflow

    load_workflow(path)


def lines_not_in(printed: str, shown: str) -> list[str]:
    """The shown lines that were not printed, in order; a line of `…` stands for any number of lines, times do not count."""
    missing = []
    rest = [_timeless(line) for line in printed.splitlines()]
    for line in shown.splitlines():
        if line.strip() in (_CUT, ""):
            continue
        wanted = _timeless(line)
        if wanted in rest:
            rest = rest[rest.index(wanted) + 1 :]
        else:
            missing.append(line)
    return missing


def _timeless(line: str) -> str:
    return _SECONDS.sub("0.0 s", line.strip())


def printed_by_demo() -> str:
    """What `make demo` prints, at the width of the document."""
    from examples import demo

    printed = io.StringIO()
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "110"
    try:
        with contextlib.redirect_stdout(printed):
            demo.main()
    finally:
        del os.environ["COLUMNS"]
        if before is not None:
            os.environ["COLUMNS"] = before
    return printed.getvalue()


def make_targets() -> dict[str, str]:
    """The targets that `make help` lists, with their descriptions."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z0-9-]+):.*?## (.*)$", makefile, re.MULTILINE))


def check_command(line: str, directory: Path) -> None:
    """That a command line names what is there. It is not run: the tests run no make, and install nothing."""
    words = shlex.split(line, comments=True)
    match words:
        case []:
            return
        case ["make", *targets]:
            names = [word for word in targets if "=" not in word]
            assert set(names) <= set(make_targets()), line
        case ["pip", "install", *wanted]:
            _check_requirements(wanted, line)
        case ["composite", *_]:
            check_composite(line)
        case ["git", "diff", "|", "composite", *_]:
            check_composite(line.partition("|")[2])
        case ["export", *settings]:
            assert all("=" in setting for setting in settings), line
        case ["litellm", "--config", file, *_]:
            assert (directory / file).is_file(), line
        case ["python", "-m", module, *_]:
            assert (ROOT / module).is_dir() or (ROOT / f"{module.replace('.', '/')}.py").is_file(), line
        case ["python", script, *_]:
            assert (ROOT / script).is_file(), line
        case _:
            raise AssertionError(f"no check for this command: {line}")


def check_composite(line: str) -> None:
    """That the command takes these words; where its output goes is the reader's business."""
    words = shlex.split(line, comments=True)
    end = next((place for place, word in enumerate(words) if word in ("|", ">")), len(words))
    check_words(words[:end])


def _check_requirements(wanted: list[str], line: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for requirement in wanted:
        found = re.fullmatch(r"\.(?:\[([\w,]+)\])?", requirement)
        assert found, line
        assert set((found.group(1) or "").split(",")) - {""} <= set(project["optional-dependencies"]), line


def check_profiles(path: Path) -> None:
    """That every profile of a file answers, and as it is written: with nobody left out for a cap."""
    import litellm

    import composite_llm
    from composite_llm.config.profiles import load_profiles

    composite_llm.register(config=path)
    for name in load_profiles(path).by_name:
        response = litellm.completion(model=f"composite/profile/{name}", messages=QUESTION)
        assert composite_llm.get_trace(response).degraded == [], name


def check_proxy_config(path: Path) -> None:
    """That the proxy's Router takes the models, that its loader finds the handler, and that each composite answers."""
    import litellm

    import composite_llm

    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    for entry in config["litellm_settings"]["custom_provider_map"]:
        module, _, attribute = entry["custom_handler"].rpartition(".")
        assert (entry["provider"], module) == ("composite", "composite_llm")
        assert getattr(composite_llm, attribute) is composite_llm.handler
    router = litellm.Router(model_list=config["model_list"], num_retries=0)
    composite_llm.register(router=router)
    for entry in config["model_list"]:
        response: Any = router.completion(model=entry["model_name"], messages=QUESTION)
        assert response.choices[0].message.content, entry["model_name"]
