"""A project's memory outside of any context window: facts, files and history, found again by words."""

from __future__ import annotations

import hashlib
import math
import os
import re
import sqlite3
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import mul
from pathlib import PurePosixPath
from typing import Any

from composite_llm import ExecutionContext, InvalidOption
from composite_llm.work.database import Database, estimated_tokens, now, state_file
from composite_llm.work.errors import PathRefused, WorkError
from composite_llm.work.executor import Executor, LLMExecutor
from composite_llm.work.fencing import fenced
from composite_llm.work.secrets import holds_secret, without_secrets
from composite_llm.work.tools.files import FileTools
from composite_llm.work.tools.paths import Root

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS facts (key TEXT PRIMARY KEY, value TEXT NOT NULL, source TEXT NOT NULL, at REAL NOT NULL)",
    "CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, digest TEXT NOT NULL, at REAL NOT NULL)",
    "CREATE TABLE IF NOT EXISTS history (id INTEGER PRIMARY KEY, kind TEXT NOT NULL, text TEXT NOT NULL, at REAL NOT NULL)",
    """CREATE TABLE IF NOT EXISTS summaries (
        digest TEXT NOT NULL, max_tokens INTEGER NOT NULL, text TEXT NOT NULL, at REAL NOT NULL,
        PRIMARY KEY (digest, max_tokens))""",
    """CREATE VIRTUAL TABLE IF NOT EXISTS passages USING fts5 (
        text, source UNINDEXED, kind UNINDEXED, owner UNINDEXED, tokenize = "porter unicode61 tokenchars '_'")""",
    "CREATE TABLE IF NOT EXISTS vectors (passage INTEGER PRIMARY KEY, vector BLOB NOT NULL)",
)
_LINES = 40
_OVERLAP = 5
_FUSION = 60
"""The constant of reciprocal rank fusion (Cormack, Clarke, Büttcher, 2009)."""
_SECRET_FILES = re.compile(
    r"\.env(\..*)?|.*\.(pem|key|p12|pfx|jks|keystore|kdbx|ppk)|id_(rsa|dsa|ecdsa|ed25519)|\.(netrc|npmrc|pypirc|pgpass)"
    r"|credentials(\..*)?|secrets?\.(ya?ml|json|toml|ini)|\.htpasswd",
    re.IGNORECASE,
)


class SecretRefused(WorkError):
    """What was to be remembered looks like a secret."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing remembered: `at` is seconds since 1970."""

    key: str
    value: str
    source: str
    at: float


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A passage that was found.

    Attributes:
        text: The passage, or the part of it around the words.
        source: `path:first-last`, `fact KEY` or `history N`.
        kind: `file`, `fact` or `history`.
        score: Higher is better; only to compare within one search.
    """

    text: str
    source: str
    kind: str
    score: float


@dataclass(frozen=True, slots=True)
class Indexed:
    """What indexing did, in numbers of files."""

    added: int = 0
    unchanged: int = 0
    removed: int = 0
    skipped: int = 0


class Memory:
    """What is known about a project; it stays in the project's folder.

    Args:
        project: The folder.
        path: The file; default: in the project's `.composite` folder.
        executor: Writes summaries; default: one whose model the configuration says.
        embedding_model: LiteLLM's name of an embedding model, to find passages by meaning too. What is indexed and
            searched is sent to that model, secrets hidden. With `sqlite-vec` installed, large projects are faster.
        embedding_options: Call parameters for it, such as `api_base`.
    """

    def __init__(
        self,
        project: str | os.PathLike[str],
        *,
        path: str | os.PathLike[str] | None = None,
        executor: LLMExecutor | None = None,
        embedding_model: str | None = None,
        embedding_options: dict[str, Any] | None = None,
    ) -> None:
        self._root = Root(project)
        self._executor = executor or Executor()
        self._embedding = embedding_model
        self._embedding_options = dict(embedding_options or {})
        prepare = _load_vectors if embedding_model is not None else None
        self._database = Database(path or state_file(self._root.path, "memory.sqlite"), _SCHEMA, prepare=prepare)

    def remember(self, key: str, value: str, source: str = "") -> None:
        """Keep a fact; one of the same key is replaced.

        Raises:
            SecretRefused: It looks like a secret; nothing is kept.
        """
        if not key.strip() or not value.strip():
            raise InvalidOption("key" if not key.strip() else "value", "is empty", allowed="a text")
        if any(holds_secret(text) for text in (key, value, source, f"{key} = {value!r}", f"{key}={value}")):
            raise SecretRefused(f"the fact {without_secrets(key)!r} looks like a secret; secrets are not remembered")
        with self._database.transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?, ?, ?)", (key, value, source, now()))
            _forget_passages(connection, "fact", key)
            _add_passage(connection, f"{key}: {value}", f"fact {key}", "fact", key)

    def forget(self, key: str) -> bool:
        """Forget a fact, or what was indexed of a file; whether there was one."""
        with self._database.transaction() as connection:
            facts = connection.execute("DELETE FROM facts WHERE key = ?", (key,)).rowcount
            files = connection.execute("DELETE FROM files WHERE path = ?", (key,)).rowcount
            _forget_passages(connection, "fact", key)
            _forget_passages(connection, "file", key)
        return facts + files > 0

    def facts(self, keys: Sequence[str] | None = None, max_tokens: int | None = None) -> list[Fact]:
        """The facts of these keys, in their order, or all, the newest first; as many as `max_tokens` holds."""
        rows = self._database.rows("SELECT * FROM facts ORDER BY at DESC, key")
        known = {row["key"]: Fact(**dict(row)) for row in rows}
        chosen = list(known.values()) if keys is None else [known[key] for key in keys if key in known]
        return _within(chosen, max_tokens, lambda fact: f"{fact.key}: {fact.value}")

    def note(self, text: str, kind: str = "note") -> None:
        """Add to the history: what was done, decided or found. What looks like a secret is hidden."""
        hidden = without_secrets(text)
        with self._database.transaction() as connection:
            row = connection.execute("INSERT INTO history (kind, text, at) VALUES (?, ?, ?)", (kind, hidden, now()))
            number = row.lastrowid
            _add_passage(connection, hidden, f"history {number}", "history", str(number))

    def history(self, limit: int = 50) -> list[dict[str, Any]]:
        """The last entries, the newest first: `id`, `kind`, `text`, `at`."""
        return [dict(row) for row in self._database.rows("SELECT * FROM history ORDER BY id DESC LIMIT ?", (limit,))]

    def index(self, path: str = ".") -> Indexed:
        """Read the text files below a path, as far as they changed, and forget those that are gone.

        Left out are binary and very long files, what `.gitignore` names, and files that are there to hold secrets; in
        the others what looks like a secret is hidden.
        """
        files = FileTools(self._root)
        ignored = self._ignored(files)
        added = unchanged = skipped = 0
        seen: set[str] = set()
        for name in files.files(path):
            if ignored(name) or _SECRET_FILES.fullmatch(PurePosixPath(name).name):
                skipped += 1
                continue
            try:
                text = files.text(name)
                name.encode()
            except (PathRefused, UnicodeEncodeError):
                skipped += 1
                continue
            seen.add(name)
            if self._add_file(name, text):
                added += 1
            else:
                unchanged += 1
        return Indexed(added, unchanged, self._remove_missing(path, seen), skipped)

    def search(self, query: str, max_tokens: int = 2000) -> list[Excerpt]:
        """The passages that fit best, the best first, as many as `max_tokens` holds."""
        words = " OR ".join(f'"{word}"' for word in dict.fromkeys(re.findall(r"\w+", query.lower())[:64]))
        rows = []
        if words:
            rows = self._database.rows(
                "SELECT rowid, text, source, kind, -bm25(passages) AS score, snippet(passages, 0, '', '', ' … ', 40) AS part "
                "FROM passages WHERE passages MATCH ? ORDER BY bm25(passages) LIMIT 50",
                (words,),
            )
        found = self._fused(rows, query) if self._embedding is not None else [(row, row["score"]) for row in rows]
        kept: list[Excerpt] = []
        room = max_tokens
        for row, score in found:
            # The whole passage where there is room for it, else the part around the words.
            for text in (row["text"], row["part"]):
                if text and (needed := estimated_tokens(text) + estimated_tokens(row["source"])) <= room:
                    kept.append(Excerpt(text, row["source"], row["kind"], score))
                    room -= needed
                    break
        return kept

    def excerpts(self, query: str, max_tokens: int = 2000) -> str:
        """What `search` finds as one text for a prompt: fenced, each passage under its source; empty for nothing."""
        found = self.search(query, max_tokens)
        if not found:
            return ""
        return fenced("\n\n".join(f"## {one.source}\n{one.text}" for one in found), "excerpts of the project's memory")

    async def summarize_file(self, path: str, max_tokens: int = 300) -> str:
        """A file in few words, by the tier for summaries; kept until the file changes.

        Raises:
            PathRefused: The file cannot be read.
            AllProvidersFailedError: Nobody could summarize it.
        """
        if _SECRET_FILES.fullmatch(PurePosixPath(path).name):
            raise PathRefused(f"{path!r} is there to hold secrets")
        text = FileTools(self._root).text(path)
        digest = _digest(text)
        known = self._database.rows(
            "SELECT text FROM summaries WHERE digest = ? AND max_tokens = ?", (digest, max_tokens)
        )
        if known:
            return str(known[0]["text"])
        prompt = (
            f"Say what the file {path} is for, what is in it, and what its reader has to know, "
            f"in no more than {max(20, max_tokens // 2)} words.\n\n{fenced(text, f'file {path}')}"
        )
        answer = await self._executor.run(prompt, ExecutionContext(task_type="summarize", project=self._root.path.name))
        summary = without_secrets(answer.content).strip()
        if summary:
            with self._database.transaction() as connection:
                values = (digest, max_tokens, summary, now())
                connection.execute("INSERT OR REPLACE INTO summaries VALUES (?, ?, ?, ?)", values)
        return summary

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _add_file(self, name: str, text: str) -> bool:
        digest = _digest(text)
        known = self._database.rows("SELECT digest FROM files WHERE path = ?", (name,))
        if known and known[0]["digest"] == digest:
            return False
        passages = list(_passages(name, without_secrets(text)))
        # Asked before the transaction: other processes must not wait for a model.
        vectors = self._vectors([passage for passage, _ in passages])
        with self._database.transaction() as connection:
            _forget_passages(connection, "file", name)
            for (passage, source), vector in zip(passages, vectors, strict=True):
                row = _add_passage(connection, passage, source, "file", name)
                if vector is not None:
                    connection.execute("INSERT INTO vectors VALUES (?, ?)", (row, vector))
            connection.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", (name, digest, now()))
        return True

    def _remove_missing(self, path: str, seen: set[str]) -> int:
        with self._root.place(path) as place:
            at = place.path
        below = [row["path"] for row in self._database.rows("SELECT path FROM files")]
        gone = [name for name in below if name not in seen and (at == "." or name == at or name.startswith(f"{at}/"))]
        with self._database.transaction() as connection:
            for name in gone:
                connection.execute("DELETE FROM files WHERE path = ?", (name,))
                _forget_passages(connection, "file", name)
        return len(gone)

    def _ignored(self, files: FileTools) -> Any:
        """Whether git would leave a path alone, by all `.gitignore` files on the way to it."""
        from pathspec import GitIgnoreSpec

        specs: dict[str, GitIgnoreSpec] = {}

        def spec_of(folder: str) -> GitIgnoreSpec:
            if folder not in specs:
                try:
                    lines = files.text(str(PurePosixPath(folder) / ".gitignore")).splitlines()
                except PathRefused:
                    lines = []
                specs[folder] = GitIgnoreSpec.from_lines(lines)
            return specs[folder]

        def ignored(path: str) -> bool:
            parents = [str(parent) for parent in PurePosixPath(path).parents]
            return any(spec_of(at).match_file(PurePosixPath(path).relative_to(at).as_posix()) for at in parents)

        return ignored

    def _vectors(self, texts: Sequence[str]) -> list[bytes | None]:
        if self._embedding is None or not texts:
            return [None] * len(texts)
        import litellm

        response = litellm.embedding(model=self._embedding, input=list(texts), **self._embedding_options)
        return [array("f", row["embedding"]).tobytes() for row in response.data]

    def _fused(self, rows: Sequence[sqlite3.Row], query: str) -> list[tuple[Any, float]]:
        """By words and by meaning together: the sum of what each ranking says."""
        [vector] = self._vectors([without_secrets(query)])
        near = self._database.rows(
            "SELECT p.rowid, p.text, p.source, p.kind, NULL AS part FROM vectors v JOIN passages p ON p.rowid = v.passage "
            "ORDER BY vec_distance_cosine(v.vector, ?) NULLS LAST LIMIT 50",
            (vector,),
        )
        scores: dict[int, float] = {}
        by_id: dict[int, Any] = {}
        for ranking in (rows, near):
            for place, row in enumerate(ranking, 1):
                scores[row["rowid"]] = scores.get(row["rowid"], 0.0) + 1 / (_FUSION + place)
                by_id.setdefault(row["rowid"], row)
        return [(by_id[id_], scores[id_]) for id_ in sorted(scores, key=lambda one: -scores[one])]


def _passages(name: str, text: str) -> Iterator[tuple[str, str]]:
    """Pieces of a file that overlap a little, each with the lines that it has."""
    lines = text.splitlines()
    for first in range(0, max(1, len(lines)), _LINES - _OVERLAP):
        piece = lines[first : first + _LINES]
        if any(line.strip() for line in piece):
            # A line without end, as in generated files, would be no passage any more.
            yield "\n".join(line[:2000] for line in piece), f"{name}:{first + 1}-{first + len(piece)}"
        if first + _LINES >= len(lines):
            break


def _add_passage(connection: sqlite3.Connection, text: str, source: str, kind: str, owner: str) -> int:
    row = connection.execute(
        "INSERT INTO passages (text, source, kind, owner) VALUES (?, ?, ?, ?)", (text, source, kind, owner)
    ).lastrowid
    assert row is not None
    return row


def _forget_passages(connection: sqlite3.Connection, kind: str, owner: str) -> None:
    of = "SELECT rowid FROM passages WHERE kind = ? AND owner = ?"
    connection.execute(f"DELETE FROM vectors WHERE passage IN ({of})", (kind, owner))
    connection.execute("DELETE FROM passages WHERE kind = ? AND owner = ?", (kind, owner))


def _within(values: list[Any], max_tokens: int | None, text: Any) -> list[Any]:
    kept, room = [], max_tokens
    for value in values:
        needed = estimated_tokens(text(value))
        if room is not None and needed > room:
            continue
        room = None if room is None else room - needed
        kept.append(value)
    return kept


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", errors="replace")).hexdigest()


def _load_vectors(connection: sqlite3.Connection) -> None:
    """sqlite-vec's distance where it can be loaded; else the same function in Python, some fifty times slower."""
    try:
        import sqlite_vec

        connection.enable_load_extension(True)
        sqlite_vec.load(connection)
        connection.enable_load_extension(False)
    except (ImportError, AttributeError, sqlite3.Error):
        # Many builds of Python leave the loading of extensions out.
        connection.create_function("vec_distance_cosine", 2, _cosine_distance, deterministic=True)


def _cosine_distance(first: bytes, second: bytes) -> float | None:
    a, b = array("f", first), array("f", second)
    if len(a) != len(b):
        return None
    lengths = math.sqrt(sum(map(mul, a, a)) * sum(map(mul, b, b)))
    return 1.0 - sum(map(mul, a, b)) / lengths if lengths else None
