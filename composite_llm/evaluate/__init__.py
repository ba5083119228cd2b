"""Does it pay? Questions with known answers, several contestants, and what the difference between them is worth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from composite_llm.evaluate.batch import Batch, BatchSettings, Bill
    from composite_llm.evaluate.generated import generated_questions
    from composite_llm.evaluate.questions import Question, load_questions
    from composite_llm.evaluate.replaying import Replay, areplay, replay
    from composite_llm.evaluate.report import Report
    from composite_llm.evaluate.reporting import report_of
    from composite_llm.evaluate.running import Bench, Price, Settings
    from composite_llm.evaluate.scoring import Scoring

_NAMES = {
    "batch": "Batch BatchSettings Bill",
    "generated": "generated_questions",
    "questions": "Question load_questions",
    "replaying": "Replay areplay replay",
    "report": "Report",
    "reporting": "report_of",
    "running": "Bench Price Settings",
    "scoring": "Scoring",
}
_LOADED_LATE = {name: module for module, names in _NAMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _LOADED_LATE:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_LOADED_LATE[name]}"), name)


__all__ = [
    "Batch",
    "BatchSettings",
    "Bench",
    "Bill",
    "Price",
    "Question",
    "Replay",
    "Report",
    "Scoring",
    "Settings",
    "areplay",
    "generated_questions",
    "load_questions",
    "replay",
    "report_of",
]
