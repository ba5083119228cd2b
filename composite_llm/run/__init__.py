"""One run of a plan, from its checks to its reply."""

from composite_llm.run.context import Caller, Services
from composite_llm.run.run import Item, Run
from composite_llm.run.shared_limits import SharedLimits

__all__ = ["Caller", "Item", "Run", "Services", "SharedLimits"]
