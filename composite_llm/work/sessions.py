"""Sessions: what was said, apart for each backend and shared between them, and short enough for each."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from composite_llm import ExecutionContext, InvalidOption
from composite_llm.work.database import Database, estimated_tokens, now, state_file
from composite_llm.work.executor import LLMExecutor
from composite_llm.work.fencing import fenced
from composite_llm.work.secrets import mapping_without_secrets

Message = dict[str, Any]

_SCHEMA = (
    """CREATE TABLE IF NOT EXISTS turns (
        id INTEGER PRIMARY KEY, session TEXT NOT NULL, backend TEXT NOT NULL, message TEXT NOT NULL,
        tokens INTEGER NOT NULL, at REAL NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS turns_of ON turns (session, backend)",
    """CREATE TABLE IF NOT EXISTS backends (
        session TEXT NOT NULL, backend TEXT NOT NULL, persona TEXT, summary TEXT, summarized_to INTEGER NOT NULL DEFAULT 0,
        summarized_turns INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (session, backend))""",
    """CREATE TABLE IF NOT EXISTS used (
        session TEXT NOT NULL, backend TEXT NOT NULL, calls INTEGER NOT NULL, tokens_input INTEGER NOT NULL,
        tokens_output INTEGER NOT NULL, cost_usd REAL, PRIMARY KEY (session, backend))""",
)
_SHARED = ""
_SUMMARY = (
    "Summarize the conversation below for whoever goes on with it: decisions, facts, names, open questions. "
    "No more than {words} words.\n\n{material}"
)


@dataclass(frozen=True, slots=True)
class Used:
    """What calls used.

    Attributes:
        calls: How many.
        tokens_input: Their prompts'.
        tokens_output: Their answers'.
        cost_usd: US dollars; None when one of them is unknown.
    """

    calls: int = 0
    tokens_input: int = 0
    tokens_output: int = 0
    cost_usd: float | None = 0.0

    def __add__(self, other: Used) -> Used:
        unknown = self.cost_usd is None or other.cost_usd is None
        return Used(
            self.calls + other.calls,
            self.tokens_input + other.tokens_input,
            self.tokens_output + other.tokens_output,
            None if unknown else (self.cost_usd or 0.0) + (other.cost_usd or 0.0),
        )


class Session:
    """One conversation with several backends (nodes or roles), kept in a file.

    Args:
        id: Names it; the same id goes on with it.
        path: The file; default: in the `.composite` folder of the working directory.
        token_budget: Tokens of a backend's context, for all or by backend; None for no limit.
        personas: The persona that each backend starts with and goes back to.
    """

    def __init__(
        self,
        id: str,
        *,
        path: str | os.PathLike[str] | None = None,
        token_budget: int | Mapping[str, int] | None = None,
        personas: Mapping[str, str] | None = None,
    ) -> None:
        if not id:
            raise InvalidOption("id", "is empty", allowed="a text of at least one character", value=id)
        budgets = token_budget.values() if isinstance(token_budget, Mapping) else [token_budget]
        if any(number is not None and number < 1 for number in budgets):
            raise InvalidOption("token_budget", f"got {token_budget!r}", allowed="tokens, a whole number above 0")
        self.id = id
        self._budget = token_budget
        self._personas = dict(personas or {})
        self._database = Database(path if path is not None else state_file(".", "sessions.sqlite"), _SCHEMA)

    def append(self, message: Mapping[str, Any], backend: str | None = None) -> None:
        """Add a message to a backend's buffer; without one to the shared buffer, which all backends see."""
        if not isinstance(message.get("role"), str):
            raise InvalidOption("message", "has no role", allowed="a message in OpenAI's form")
        text = json.dumps(mapping_without_secrets(dict(message)), ensure_ascii=True, default=str)
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO turns (session, backend, message, tokens, at) VALUES (?, ?, ?, ?, ?)",
                (self.id, backend or _SHARED, text, estimated_tokens(text), now()),
            )

    def context(self, backend: str) -> list[Message]:
        """What a backend is to see: its persona, its summary of what was earlier, and both buffers in order.

        Within the token budget: what is over it and not summarized yet is left out, the oldest first.
        """
        persona, summary, turns = self._seen(backend)
        head = [{"role": "system", "content": persona}] if persona else []
        if summary is not None:
            head.append(summary)
        budget = self._budget_of(backend)
        if budget is None:
            return [*head, *(message for message, _ in turns)]
        room = budget - sum(estimated_tokens(json.dumps(message)) for message in head)
        kept = _newest(turns, room)
        return [*head, *(message for message, _ in turns[len(turns) - kept :])]

    def turns(self, backend: str | None = None) -> list[Message]:
        """A buffer's own messages, raw and whole."""
        rows = self._database.rows(
            "SELECT message FROM turns WHERE session = ? AND backend = ? ORDER BY id", (self.id, backend or _SHARED)
        )
        return [json.loads(row["message"]) for row in rows]

    def reset(self, backend: str | None = None) -> None:
        """Forget a backend's buffer, summary and persona; without a name, those of all, and the shared one."""
        where, values = ("AND backend = ?", [self.id, backend]) if backend is not None else ("", [self.id])
        with self._database.transaction() as connection:
            for table in ("turns", "backends"):
                connection.execute(f"DELETE FROM {table} WHERE session = ? {where}", values)

    def set_persona(self, backend: str, persona: str) -> None:
        """What a backend is told to be, from now on."""
        self._set(backend, persona=persona)

    def reset_persona(self, backend: str) -> None:
        """Back to the persona that it started with."""
        self._set(backend, persona=None)

    def persona(self, backend: str) -> str | None:
        """What a backend is told to be."""
        set_one = self._state(backend).get("persona")
        return set_one if set_one is not None else self._personas.get(backend)

    async def compact(self, backend: str, executor: LLMExecutor, *, tier: str = "cheap") -> bool:
        """Have the oldest turns of a context that is over its budget summarized; the raw ones are kept.

        Returns:
            Whether something was summarized.

        Raises:
            AllProvidersFailedError: The tier's models failed; nothing has changed, and `context` leaves turns out.
        """
        budget = self._budget_of(backend)
        _, summary, turns = self._seen(backend, with_ids=True)
        before = [summary] if summary is not None else []
        if budget is None or sum(tokens for _, tokens in turns) <= budget - sum(_tokens(one) for one in before):
            return False
        # Half of the budget for what is newest: otherwise the next turn would have to summarize again.
        old = turns[: len(turns) - _newest(turns, budget // 2)]
        if not old:
            return False
        last = old[-1][0]["id"]
        said = "\n".join(f"{one['role']}: {_text(one)}" for one in [*before, *(message for message, _ in old)])
        words = max(30, budget // 10)
        prompt = _SUMMARY.format(words=words, material=fenced(said, f"conversation with {backend}"))
        context = ExecutionContext(task_type="summarize", tier_hint=tier, session_id=self.id)
        answer = await executor.run(prompt, context)
        text = str(mapping_without_secrets(answer.content)).strip()[: words * 12]
        if not text:
            return False
        turns_before = self._state(backend)["summarized_turns"]
        self._set(backend, summary=text, summarized_to=last, summarized_turns=turns_before + len(old))
        return True

    def add_used(self, backend: str, used: Used) -> None:
        """Count what a call used."""
        with self._database.transaction() as connection:
            # What is unknown stays unknown: NULL plus a number is NULL.
            connection.execute(
                "INSERT INTO used VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (session, backend) DO UPDATE SET "
                "calls = calls + excluded.calls, tokens_input = tokens_input + excluded.tokens_input, "
                "tokens_output = tokens_output + excluded.tokens_output, cost_usd = cost_usd + excluded.cost_usd",
                (self.id, backend, used.calls, used.tokens_input, used.tokens_output, used.cost_usd),
            )

    def used(self, backend: str | None = None, *, all_sessions: bool = False) -> Used:
        """What a backend's calls used, or all; in this session, or in all of the file's, which is the project's."""
        rows = self._database.rows(
            "SELECT * FROM used WHERE (session = ? OR ?) AND (backend = ? OR ?)",
            (self.id, all_sessions, backend, backend is None),
        )
        figures = (Used(row["calls"], row["tokens_input"], row["tokens_output"], row["cost_usd"]) for row in rows)
        return sum(figures, Used())

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _seen(
        self, backend: str, *, with_ids: bool = False
    ) -> tuple[str | None, Message | None, list[tuple[Message, int]]]:
        """Persona, summary as a message, and the turns after it with their tokens."""
        state = self._state(backend)
        rows = self._database.rows(
            "SELECT id, message, tokens FROM turns WHERE session = ? AND backend IN (?, ?) AND id > ? ORDER BY id",
            (self.id, backend, _SHARED, state["summarized_to"]),
        )
        turns = [
            ({**json.loads(row["message"]), **({"id": row["id"]} if with_ids else {})}, row["tokens"]) for row in rows
        ]
        summary = None
        if state["summary"]:
            marked = (
                f"[summary of {state['summarized_turns']} earlier messages, written by a model]\n{state['summary']}"
            )
            summary = {"role": "user", "content": marked}
        return self.persona(backend), summary, turns

    def _state(self, backend: str) -> dict[str, Any]:
        rows = self._database.rows("SELECT * FROM backends WHERE session = ? AND backend = ?", (self.id, backend))
        nothing = {"persona": None, "summary": None, "summarized_to": 0, "summarized_turns": 0}
        return dict(rows[0]) if rows else nothing

    def _set(self, backend: str, **values: Any) -> None:
        columns = ", ".join(f"{name} = ?" for name in values)
        with self._database.transaction() as connection:
            connection.execute("INSERT OR IGNORE INTO backends (session, backend) VALUES (?, ?)", (self.id, backend))
            connection.execute(
                f"UPDATE backends SET {columns} WHERE session = ? AND backend = ?", (*values.values(), self.id, backend)
            )

    def _budget_of(self, backend: str) -> int | None:
        return self._budget.get(backend) if isinstance(self._budget, Mapping) else self._budget


def _newest(turns: Sequence[tuple[Message, int]], room: int) -> int:
    """How many of the newest turns fit; a beginning that is the answer to a tool call is left out with the call."""
    kept = used = 0
    for _, tokens in reversed(turns):
        if used + tokens > room:
            break
        used, kept = used + tokens, kept + 1
    while 0 < kept < len(turns) and turns[len(turns) - kept][0]["role"] not in ("user", "system"):
        kept -= 1
    # The newest message is what is asked: better over the budget than gone.
    return kept or (1 if turns and turns[-1][0]["role"] == "user" else 0)


def _tokens(message: Message) -> int:
    return estimated_tokens(json.dumps(message))


def _text(message: Message) -> str:
    content = message.get("content")
    return content if isinstance(content, str) else json.dumps(content if content else message.get("tool_calls"))
