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

_NAMES = {
    "autonomy": "AutonomousResult ServerFailed autonomous",
    "database": "state_file",
    "errors": "CommandRefused PatchRefused PathRefused SandboxUnavailable StoreUnusable WorkError",
    "executor": "AllProvidersFailedError Executor LLMExecutor LLMResponse",
    "memory": "Excerpt Fact Indexed Memory SecretRefused",
    "orchestrator": "Backend ChatChunk ChatResponse Orchestrator TooLong",
    "sessions": "Session Used",
    "tasks": "LeaseLost StepUncertain Task TaskConflict TaskQueue TaskRun UnknownTask Worker",
    "tools.runner": "READ_TOOLS ToolRunner",
    "workflows.findings": "Finding markdown sarif",
    "workflows.running": "StepResult WorkflowResult run_workflow",
    "workflows.spec": "InvalidWorkflow SHIPPED Workflow load_workflow",
}
_LOADED_LATE = {name: module for module, names in _NAMES.items() for name in names.split()}


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
