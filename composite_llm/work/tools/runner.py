"""The tool runner: files and commands of one folder for a model, with a guard around them."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from jsonschema import Draft202012Validator

from composite_llm import InvalidOption, ToolGuard
from composite_llm.work.database import state_file
from composite_llm.work.errors import CommandRefused, PathRefused, SandboxUnavailable
from composite_llm.work.fencing import fenced
from composite_llm.work.secrets import mapping_without_secrets
from composite_llm.work.tools.commands import CommandRule, parsed_command
from composite_llm.work.tools.files import FileTools
from composite_llm.work.tools.paths import Root, refuse_hidden
from composite_llm.work.tools.process import Finished, run_process
from composite_llm.work.tools.sandbox import NAMES, Limits, SandboxName, Surroundings, working_sandbox, wrapped
from composite_llm.work.tools.schemas import READ_TOOLS, SCHEMAS

_TEXT_KEPT = 500


class ToolRunner:
    """An executor of tools on the files of one folder, and of commands in it, kept inside of that folder.

    Args:
        root: The folder.
        mode: As a `ToolGuard`'s: `manual` asks for what is not on the list; `trust` runs everything where there is no
            list, and asks for what is not on it where there is one. In `trust` a command runs in a sandbox or not at all.
        allow: What runs without asking: names of tools, and commands: `git status`, `pytest *` (any further
            arguments), or a list of words. `run_command` itself cannot be on it.
        approve: `(name, arguments) -> bool`, sync or async: a person's answer. Without one nobody approves.
        sandbox: What commands run in; `auto`: the first that works here of bwrap, sandlock, docker. `none` has to be
            said, and works in `manual` only.
        test_command: What `run_tests` runs; without one there is no such tool.
        timeout_s: Seconds for one command.
        max_output_bytes: Of one result; of a command's, the beginning and the end are kept.
        max_memory_mb: Address space of each process of a command.
        audit: Path of a JSON-lines file, or a callable that gets each entry; secrets and long texts are left out.
        env: Variables of commands; nothing else of this process's environment reaches them.
        readable: Further folders that commands may read. The running interpreter's are always among them.
        image: Docker's image.

    Raises:
        InvalidOption: One of them cannot be used.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        mode: Literal["manual", "trust"] = "manual",
        *,
        allow: Collection[str | Sequence[str]] | None = None,
        approve: Callable[[str, dict[str, Any]], Any] | None = None,
        sandbox: SandboxName = "auto",
        test_command: str | Sequence[str] | None = None,
        timeout_s: float = 120.0,
        max_output_bytes: int = 65_536,
        max_memory_mb: int = 2048,
        audit: str | os.PathLike[str] | Callable[[dict[str, Any]], object] | None = None,
        env: Mapping[str, str] | None = None,
        readable: Sequence[str | os.PathLike[str]] = (),
        image: str | None = None,
    ) -> None:
        if sandbox not in NAMES:
            raise InvalidOption("sandbox", f"got {sandbox!r}", allowed=", ".join(NAMES), value=sandbox)
        whole = {"max_memory_mb": max_memory_mb, "max_output_bytes": max_output_bytes}
        for name, number in {**whole, "timeout_s": timeout_s}.items():
            kind = int if name in whole else (int, float)
            if isinstance(number, bool) or not isinstance(number, kind) or not number > 0:
                raise InvalidOption(name, f"got {number!r}", allowed="a number above 0", value=number)
        if not all(isinstance(text, str) for item in (env or {}).items() for text in item):
            raise InvalidOption("env", "has a value that is not text", allowed="a mapping of texts")
        self._root = Root(root)
        self._mode = mode
        self._sandbox = sandbox
        self._tests = None if test_command is None else parsed_command(test_command)
        self._files = FileTools(self._root)
        names, self._rules = _split_rules(allow)
        self._limits = Limits(timeout_s=timeout_s, memory_mb=max_memory_mb, output_bytes=max_output_bytes)
        self._surroundings = Surroundings(self._root.path, self._limits, dict(env or {}), _readable(*readable), image)
        sink = None if audit is None else _AuditSink(audit)
        guard: dict[str, Any] = {"approve": approve, "max_output_bytes": max_output_bytes + 2000, "audit": sink}
        tools = self._tools()
        known = [name for name in names if name not in tools]
        if known:
            raise InvalidOption("allow", f"{known[0]!r} is no tool here", allowed=", ".join(tools), value=known[0])
        self._asking = ToolGuard(tools, mode=mode, allow=names if allow is not None else None, **guard)
        self._listed = ToolGuard(tools, mode="manual", allow=["run_command"], **guard)

    def __deepcopy__(self, _memo: Any) -> ToolRunner:
        return self

    @property
    def root(self) -> Path:
        """The folder."""
        return self._root.path

    def covers(self, names: Collection[str]) -> bool:
        """Whether every one of these tools is here."""
        return self._asking.covers(names)

    async def tools(self) -> list[dict[str, Any]]:
        """The tools in the form of the `tools` parameter."""
        here = self._tools()
        return [{"type": "function", "function": schema} for name, schema in SCHEMAS.items() if name in here]

    async def __call__(self, name: str, arguments: dict[str, Any]) -> str:
        """Run one tool under guard, asked by nobody in particular.

        Raises:
            Exception: As the guard's; `CommandRefused`, `PathRefused`, `PatchRefused`, `SandboxUnavailable`.
        """
        result: str = await self._guard_for(name, arguments)(name, arguments)
        return result

    async def run_tool(self, name: str, arguments: dict[str, Any], context: Any) -> str:
        """As the guard's; how a composite calls it."""
        result: str = await self._guard_for(name, arguments).run_tool(name, arguments, context)
        return result

    def note_unreadable(self, name: str, arguments: str, context: Any) -> None:
        """As the guard's."""
        self._asking.note_unreadable(name, arguments, context)

    def _guard_for(self, name: str, arguments: Mapping[str, Any]) -> ToolGuard:
        """The guard that asks nobody, for a command that is on the list as a vector of words."""
        if name == "run_command":
            try:
                argv = parsed_command(arguments.get("command", ""))
            except CommandRefused:
                return self._asking
            if any(rule.allows(argv) for rule in self._rules):
                return self._listed
        return self._asking

    def _tools(self) -> dict[str, Callable[..., Any]]:
        functions: dict[str, Callable[..., Any]] = {
            "read_file": self._files.read_file,
            "list_files": self._files.list_files,
            "search_files": self._files.search_files,
            "write_file": self._files.write_file,
            "apply_patch": self._files.apply_patch,
            "run_command": self._run_command,
        }
        if self._tests is not None:
            functions["run_tests"] = self._run_tests
        return {name: _checked(name, function) for name, function in functions.items()}

    async def _run_command(self, command: str | list[str]) -> str:
        return await self._run(parsed_command(command))

    async def _run_tests(self, paths: list[str] | None = None) -> str:
        assert self._tests is not None
        for path in paths or ():
            # What stands before `::` is a path; the rest names a test in it.
            with self._root.place(path.split("::", 1)[0]) as place:
                refuse_hidden(place.path)
            if path.startswith("-"):
                raise PathRefused("a path of a test does not begin with '-'")
        return await self._run([*self._tests, *(paths or ())])

    async def _run(self, argv: list[str]) -> str:
        if self._mode == "trust" and self._sandbox == "none":
            raise SandboxUnavailable("mode='trust' runs commands in a sandbox only, and sandbox is 'none'")
        kind = working_sandbox(self._sandbox, self._surroundings)
        os.close(self._root.opened())
        # So that it is there to be hidden: a command must not be the one who makes it.
        state_file(self._root.path, "")
        try:
            finished = await run_process(
                wrapped(kind, argv, self._surroundings),
                cwd=str(self._root.path),
                env=self._surroundings.variables(),
                timeout_s=self._limits.timeout_s,
                max_output_bytes=self._limits.output_bytes,
            )
        except OSError as error:
            raise CommandRefused(f"{argv[0]!r} cannot be started: {error.strerror}") from None
        ended = f"ended after {self._limits.timeout_s:g} s" if finished.timed_out else f"exit code {finished.exit_code}"
        return f"{ended}\n{fenced(finished.output, f'output of {argv[0]}')}"


async def run_in_sandbox(root: Root, argv: Sequence[str], *, output_bytes: int = 1_000_000) -> Finished:
    """Run a command of our own on a root that others wrote into: git, for one, runs what its settings there say.

    Raises:
        SandboxUnavailable: No sandbox works here.
    """
    where = Surroundings(root.path, Limits(output_bytes=output_bytes), readable=_readable())
    command = wrapped(working_sandbox("auto", where), argv, where)
    return await run_process(
        command,
        cwd=str(root.path),
        env=where.variables(),
        timeout_s=where.limits.timeout_s,
        max_output_bytes=output_bytes,
    )


def _readable(*more: str | os.PathLike[str]) -> tuple[str, ...]:
    """Folders that commands may read: those named, and the running interpreter's, unless that is half of the machine."""
    own = [Path(prefix).resolve() for prefix in (sys.prefix, sys.base_prefix)]
    narrow = [folder for folder in own if folder not in (Path.home(), *Path.home().parents)]
    return tuple(dict.fromkeys(str(folder) for folder in (*(Path(one).resolve() for one in more), *narrow)))


def _split_rules(allow: Collection[str | Sequence[str]] | None) -> tuple[list[str], list[CommandRule]]:
    """Names of tools, and rules of commands.

    Raises:
        InvalidOption: An entry is neither.
    """
    names: list[str] = []
    rules: list[CommandRule] = []
    if isinstance(allow, str | bytes | Mapping):
        raise InvalidOption(
            "allow", f"is a {type(allow).__name__}", allowed="a list of tools and commands", value=allow
        )
    for entry in allow or ():
        if entry == "run_command":
            raise InvalidOption(
                "allow", "run_command would be any command", allowed="the commands themselves", value=entry
            )
        if isinstance(entry, str) and entry in SCHEMAS:
            names.append(entry)
        elif isinstance(entry, str | list | tuple):
            rules.append(CommandRule.parsed(entry))
        else:
            raise InvalidOption(
                "allow", f"got {entry!r}", allowed="tools by name, commands by their words", value=entry
            )
    return names, rules


def _checked(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, called only with arguments that its schema allows."""
    validator = Draft202012Validator(SCHEMAS[name]["parameters"])

    def call(**arguments: Any) -> Any:
        problem = next(iter(sorted(validator.iter_errors(arguments), key=lambda error: list(error.path))), None)
        if problem is not None:
            where = ".".join(str(part) for part in problem.absolute_path) or "arguments"
            message = f"{name}: {where} cannot be used: {problem.message[:200]}"
            raise ValueError(message)
        return function(**arguments)

    return call


class _AuditSink:
    """Entries without secrets and without long texts, which the files hold anyway."""

    def __init__(self, audit: str | os.PathLike[str] | Callable[[dict[str, Any]], object]) -> None:
        self._sink = audit if callable(audit) else None
        self._path = None if callable(audit) else Path(audit)
        self._lock = threading.Lock()
        if self._path is not None:
            try:
                self._path.parent.mkdir(mode=0o700, exist_ok=True)
                os.close(self._opened())
            except (OSError, ValueError) as error:
                reason = f"{str(audit)!r} cannot be written: {getattr(error, 'strerror', None) or error}"
                raise InvalidOption("audit", reason, allowed="a path that can be appended to") from None

    def __call__(self, entry: dict[str, Any]) -> None:
        # Cut afterwards: half a key does not look like one.
        told = mapping_without_secrets(entry)
        told["arguments"] = _shortened(told["arguments"])
        if self._sink is not None:
            self._sink(told)
            return
        line = json.dumps(told, ensure_ascii=False, default=str) + "\n"
        with self._lock:
            descriptor = self._opened()
            try:
                os.write(descriptor, line.encode("utf-8", errors="replace"))
            finally:
                os.close(descriptor)

    def _opened(self) -> int:
        assert self._path is not None
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _shortened(arguments: Any) -> Any:
    if isinstance(arguments, Mapping):
        return {key: _shortened(value) for key, value in arguments.items()}
    if isinstance(arguments, str) and len(arguments) > _TEXT_KEPT:
        return f"{arguments[:_TEXT_KEPT]}… ({len(arguments)} characters)"
    return arguments


__all__ = ["READ_TOOLS", "ToolRunner"]
