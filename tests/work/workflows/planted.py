"""A small repository with faults that an audit has to find."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

SECURITY = {
    "app/db.py": (
        "import sqlite3\n\n\ndef find(db: sqlite3.Connection, name: str) -> list[tuple[object, ...]]:\n"
        "    return db.execute(f\"SELECT * FROM users WHERE name = '{name}'\").fetchall()\n"
    ),
    "app/run.py": "import subprocess\n\n\ndef archive(folder: str) -> None:\n    subprocess.run('tar cf x ' + folder, shell=True)\n",
    "app/load.py": "import pickle\n\n\ndef load(data: bytes) -> object:\n    return pickle.loads(data)\n",
    "app/fetch.py": "import requests\n\n\ndef get(url: str) -> bytes:\n    return requests.get(url, verify=False).content\n",
    "web/page.js": "function show(text) {\n  document.getElementById('x').innerHTML = text;\n}\n",
    "src/copy.c": "#include <string.h>\nvoid f(char *to, char *from) {\n  strcpy(to, from);\n}\n",
    "app/settings.py": "password = 'correct-horse-battery'\n",
    "app/clean.py": "def add(a: int, b: int) -> int:\n    return a + b\n",
}
PLANTED_SECURITY = {
    ("app/db.py", 5, "security/sql"),
    ("app/run.py", 5, "security/shell"),
    ("app/load.py", 5, "security/pickle"),
    ("app/fetch.py", 5, "security/tls"),
    ("web/page.js", 2, "security/xss"),
    ("src/copy.c", 3, "security/c-buffer"),
    ("app/settings.py", 1, "security/secret"),
}

PERFORMANCE = {
    "shop/orders.py": (
        "def totals(db, users):\n    result = ''\n    for user in users:\n        rows = db.execute('SELECT 1', user)\n"
        "        for row in rows:\n            for item in row:\n                result += 'x'\n    return result\n"
    ),
    "shop/queue.py": "def drain(waiting):\n    while waiting:\n        yield waiting.pop(0)\n",
    "shop/page.js": "for (const id of ids) {\n  const answer = await fetch(url + id);\n}\n",
    "shop/clean.py": "def one(db):\n    return db.execute('SELECT 1')\n\n\ndef names(users):\n    return [u.name for u in users]\n",
}
PLANTED_PERFORMANCE = {
    ("shop/orders.py", 4, "performance/query-in-loop"),
    ("shop/orders.py", 6, "performance/nested-loops"),
    ("shop/orders.py", 7, "performance/text-in-loop"),
    ("shop/queue.py", 3, "performance/front-of-list"),
    ("shop/page.js", 2, "performance/request-in-loop"),
}

COMPLEX = (
    "def price(kind, n):\n"
    + "".join(f"    if kind == {k} and n > {k}:\n        return {k}\n" for k in range(12))
    + "    return 0\n"
)


def write(root: Path, files: dict[str, str]) -> Path:
    """The files below a root."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def git(root: Path, *arguments: str) -> None:
    """Run git as nobody in particular."""
    person = {"NAME": "A", "EMAIL": "a@example.org"}
    names = {f"GIT_{who}_{key}": value for who in ("AUTHOR", "COMMITTER") for key, value in person.items()}
    environment = {"PATH": os.environ["PATH"], "HOME": str(root), "GIT_CONFIG_NOSYSTEM": "1", **names}
    subprocess.run(["git", *arguments], cwd=root, env=environment, check=True, capture_output=True)


def repository_with_history(root: Path) -> Path:
    """`risky.py` was mended again and again and is complex, `calm.py` was written once."""
    root.mkdir(parents=True, exist_ok=True)
    git(root, "init", "-q")
    write(
        root, {"risky.py": COMPLEX, "calm.py": "def a():\n    return 1\n", "busy.py": "x = 1\n", "notes.md": "text\n"}
    )
    git(root, "add", ".")
    git(root, "commit", "-qm", "first")
    for number in range(5):
        (root / "risky.py").write_text(COMPLEX + f"# {number}\n")
        (root / "busy.py").write_text(f"x = {number}\n")
        git(root, "commit", "-qam", f"Fix price for case {number}")
    return root
