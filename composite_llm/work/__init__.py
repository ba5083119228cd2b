"""Work with several models, on top of composites: guarded tools, sessions, memory, tasks and workflows.

It uses the public names of `composite_llm` alone, and nothing else in the package imports it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from composite_llm.work.autonomy import AutonomousResult, ServerFailed, autonomous
    from composite_llm.work.database import state_file
    from composite_llm.work.errors import (
        CommandRefused,
        PatchRefused,
        PathRefused,
        SandboxUnavailable,
        StoreUnusable,
        WorkError,
    )
    from composite_llm.work.executor import AllProvidersFailedError, Executor, LLMExecutor, LLMResponse
    from composite_llm.work.memory import Excerpt, Fact, Indexed, Memory, SecretRefused
    from composite_llm.work.orchestrator import Backend, ChatChunk, ChatResponse, Orchestrator, TooLong
    from composite_llm.work.sessions import Session, Used
    from composite_llm.work.tasks import (
        LeaseLost,
        StepUncertain,
        Task,
        TaskConflict,
        TaskQueue,
        TaskRun,
        UnknownTask,
        Worker,
    )
    from composite_llm.work.tools.runner import READ_TOOLS, ToolRunner
    from composite_llm.work.workflows.findings import Finding, markdown, sarif
    from composite_llm.work.workflows.running import StepResult, WorkflowResult, run_workflow
    from composite_llm.work.workflows.spec import SHIPPED, InvalidWorkflow, Workflow, load_workflow

_LOADED_LATE = {
    "READ_TOOLS": "tools.runner",
    "ToolRunner": "tools.runner",
    "AllProvidersFailedError": "executor",
    "Executor": "executor",
    "LLMExecutor": "executor",
    "LLMResponse": "executor",
    "Excerpt": "memory",
    "Fact": "memory",
    "Indexed": "memory",
    "Memory": "memory",
    "SecretRefused": "memory",
    "LeaseLost": "tasks",
    "StepUncertain": "tasks",
    "Task": "tasks",
    "TaskConflict": "tasks",
    "TaskQueue": "tasks",
    "TaskRun": "tasks",
    "UnknownTask": "tasks",
    "Worker": "tasks",
    "load_workflow": "workflows.spec",
    "Workflow": "workflows.spec",
    "InvalidWorkflow": "workflows.spec",
    "SHIPPED": "workflows.spec",
    "run_workflow": "workflows.running",
    "StepResult": "workflows.running",
    "WorkflowResult": "workflows.running",
    "Finding": "workflows.findings",
    "sarif": "workflows.findings",
    "markdown": "workflows.findings",
    "Backend": "orchestrator",
    "ChatChunk": "orchestrator",
    "ChatResponse": "orchestrator",
    "Orchestrator": "orchestrator",
    "TooLong": "orchestrator",
    "AutonomousResult": "autonomy",
    "ServerFailed": "autonomy",
    "autonomous": "autonomy",
    "state_file": "database",
    "Session": "sessions",
    "Used": "sessions",
    "CommandRefused": "errors",
    "PatchRefused": "errors",
    "PathRefused": "errors",
    "SandboxUnavailable": "errors",
    "StoreUnusable": "errors",
    "WorkError": "errors",
}


def __getattr__(name: str) -> Any:
    if name not in _LOADED_LATE:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_LOADED_LATE[name]}"), name)


__all__ = [
    "READ_TOOLS",
    "SHIPPED",
    "AllProvidersFailedError",
    "AutonomousResult",
    "Backend",
    "ChatChunk",
    "ChatResponse",
    "CommandRefused",
    "Excerpt",
    "Executor",
    "Fact",
    "Finding",
    "Indexed",
    "InvalidWorkflow",
    "LLMExecutor",
    "LLMResponse",
    "LeaseLost",
    "Memory",
    "Orchestrator",
    "PatchRefused",
    "PathRefused",
    "SandboxUnavailable",
    "SecretRefused",
    "ServerFailed",
    "Session",
    "StepResult",
    "StepUncertain",
    "StoreUnusable",
    "Task",
    "TaskConflict",
    "TaskQueue",
    "TaskRun",
    "TooLong",
    "ToolRunner",
    "UnknownTask",
    "Used",
    "WorkError",
    "Worker",
    "Workflow",
    "WorkflowResult",
    "autonomous",
    "load_workflow",
    "markdown",
    "run_workflow",
    "sarif",
    "state_file",
]
