"""What each run of a test's proxy was made of: a line of `plans.jsonl` for every plan of an outermost run.

The proxy executes this file by its path.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from litellm.integrations.custom_logger import CustomLogger

from composite_llm.provider import handler, request
from composite_llm.run import Run, Services

_FILE = Path(__file__).parent / "plans.jsonl"
_run_of = request.build_run


def _recorded(kwargs: Mapping[str, Any], services: Services) -> Run:
    run = _run_of(kwargs, services)
    plan = run.plan
    entry = {
        "model": plan.logical_model,
        "options": plan.options.model_dump(mode="json", fallback=str),
        "final": plan.final.model_dump(mode="json", fallback=str),
        "params": dict(plan.params),
        "timeout_s": plan.timeout_s,
    }
    with _FILE.open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry, default=str) + "\n")
    return run


setattr(handler, "build_run", _recorded)  # noqa: B010  # not among the names that it exports
# What LiteLLM's configuration names, so that this module is imported.
recorder = CustomLogger()
