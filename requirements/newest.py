"""Writes a lock for the newest LiteLLM that installs, with what its proxy needs: `python requirements/newest.py UV LOCK`.

A new LiteLLM asks at times for releases that are not to be had yet. Such a requirement loses its bounds, or is left out
where there is no release at all; each of them is printed.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from email.parser import HeaderParser
from pathlib import Path

ROOT = Path(__file__).parent.parent
COMPILE = ("pip", "compile", "--universal", "--python-version", "3.11", "--fork-strategy", "fewest", "--system-certs")
SILENT = ("--quiet", "--no-annotate", "--no-header", "--no-emit-index-url", "--no-emit-find-links")
PROXY = r"""extra == ["']proxy["']"""
OURS = ("--group", f"{ROOT}/pyproject.toml:dev", "--extra", "mcp", "--extra", "otel")


def main(uv: str, lock: Path) -> None:
    """Write the lock, if it is another than before."""
    with tempfile.TemporaryDirectory() as directory:
        scratch = Path(directory)
        pin = next(line for line in (compiled(uv, scratch, ["litellm"], "--no-deps") or "").split() if "==" in line)
        own, of_the_proxy = requirements_of(pin, scratch)
        met = {line: obtainable(uv, scratch, line) for line in (*own, *of_the_proxy)}
        for line, instead in met.items():
            if instead != line:
                print(f"{pin} asks for {line!r}, which is not to be had: {instead or 'left out'}", file=sys.stderr)
        overrides = scratch / "overrides.in"
        overrides.write_text("\n".join(instead for line in own if (instead := met[line]) and instead != line))
        lines = [pin, *(instead for line in of_the_proxy if (instead := met[line]))]
        text = compiled(uv, scratch, lines, str(ROOT / "pyproject.toml"), *OURS, "--override", str(overrides))
    if text is None:
        sys.exit(f"{pin} does not install")
    if not lock.exists() or lock.read_text() != text:
        lock.parent.mkdir(parents=True, exist_ok=True)
        lock.write_text(text)
    print(pin)


def compiled(uv: str, scratch: Path, lines: Iterable[str], *more: str) -> str | None:
    """The lock of some requirements; None where there is none."""
    given = scratch / "given.in"
    given.write_text("\n".join(lines))
    done = subprocess.run([uv, *COMPILE, *SILENT, str(given), *more], capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else None


def requirements_of(pin: str, scratch: Path) -> tuple[list[str], list[str]]:
    """What that release needs by itself, and what its proxy needs beside."""
    download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    subprocess.run([*download, "--dest", str(scratch), pin], check=True)
    wheel = zipfile.ZipFile(next(scratch.glob("litellm-*.whl")))
    name = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    lines = HeaderParser().parsestr(wheel.read(name).decode()).get_all("Requires-Dist") or []
    own = [line for line in lines if "extra ==" not in line]
    of_the_proxy = [without_extra(line) for line in lines if re.search(PROXY, line)]
    return own, of_the_proxy


def without_extra(line: str) -> str:
    """The requirement of an extra for whoever wants it."""
    return re.sub(rf"\s*(;|and)\s*{PROXY}", "", line)


def obtainable(uv: str, scratch: Path, line: str) -> str | None:
    """The requirement as far as it can be met: as it is, without its bounds, or not at all."""
    requirement, semicolon, marker = line.partition(";")
    bare = re.match(r"[\w.-]+(\[[\w,-]+\])?", requirement)
    candidates = (line, f"{bare[0]} {semicolon}{marker}".strip()) if bare else (line,)
    found = (one for one in candidates if compiled(uv, scratch, [one], "--no-deps") is not None)
    return next(found, None)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
