"""The errors of `composite_llm.work`: each a `CompositeError` whose message says what to do, without any content."""

from __future__ import annotations

from composite_llm import CompositeError


class WorkError(CompositeError):
    """Something in a session, a memory, a tool, a task or a workflow cannot be done."""

    status_code = 400


class PathRefused(WorkError):
    """A path that leads out of the root, or to something that is no plain file or folder of it."""

    status_code = 403


class PatchRefused(WorkError):
    """A patch that cannot be read, or that does not apply; nothing was written."""

    status_code = 409


class CommandRefused(WorkError):
    """A command that is no plain argument vector, or that may not run."""

    status_code = 403


class SandboxUnavailable(WorkError):
    """No sandbox works here, and nothing runs without one."""

    status_code = 503


class StoreUnusable(WorkError):
    """A file of the project's state cannot be used."""

    status_code = 503
