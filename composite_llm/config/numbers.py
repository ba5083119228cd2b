"""Call parameters that are numbers: what none of them can be, since money and time depend on them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from composite_llm.config.checking import shown
from composite_llm.model.errors import InvalidOption

MULTIPLIERS: frozenset[str] = frozenset({"n", "best_of"})
"""So many answers are generated, and paid for."""

ANSWER_LIMITS: tuple[str, ...] = ("max_completion_tokens", "max_tokens", "max_output_tokens")


@dataclass(frozen=True, slots=True)
class _Range:
    least: float
    most: float
    whole: bool = False

    @property
    def allowed(self) -> str:
        kind = "a whole number" if self.whole else "a number"
        return f"{kind} from {self.least:g} to {self.most:g}"

    def holds(self, value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, int if self.whole else int | float):
            return False
        # `<=` on both sides, so that a NaN is in no range; integers of any size compare without a conversion.
        return self.least <= value <= self.most


_MAX_ANSWERS = 128  # OpenAI's own limit of `n`
_MAX_TOKENS = 100_000_000

_RANGES: Mapping[str, _Range] = {
    **dict.fromkeys(MULTIPLIERS, _Range(1, _MAX_ANSWERS, whole=True)),
    **dict.fromkeys(ANSWER_LIMITS, _Range(1, _MAX_TOKENS, whole=True)),
    "top_logprobs": _Range(0, 100, whole=True),
    "seed": _Range(-(2**63), 2**64, whole=True),
    "num_retries": _Range(0, 100, whole=True),
    "temperature": _Range(0, 100),
    "top_p": _Range(0, 1),
    "presence_penalty": _Range(-100, 100),
    "frequency_penalty": _Range(-100, 100),
}


def number_problem(key: str, value: Any) -> InvalidOption | None:
    """What is wrong with a parameter that is a number; None for any other, and for one that can be."""
    bounds = _RANGES.get(key)
    if bounds is None or value is None or bounds.holds(value):
        return None
    return InvalidOption(key, f"got {shown(key, value)}", allowed=bounds.allowed, value=value)


def check_numbers(params: Mapping[str, Any], path: str = "") -> None:
    """Refuse parameters that no call can have, in `extra_body` too.

    Raises:
        InvalidOption: names the first, behind its `path`.
    """
    for key, value in params.items():
        if key == "extra_body" and isinstance(value, Mapping):
            check_numbers(value, f"{path}extra_body.")
        elif (problem := number_problem(key, value)) is not None:
            raise InvalidOption(f"{path}{key}", f"got {shown(key, value)}", allowed=problem.allowed, value=value)


def seconds_of(value: Any) -> float:
    """A `timeout` as seconds.

    Raises:
        InvalidOption: It is no number above 0, or endless.
    """
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        raise InvalidOption("timeout", "is not a number", allowed="seconds above 0", value=value) from None
    if not (seconds > 0 and math.isfinite(seconds)):
        raise InvalidOption("timeout", f"got {seconds:g}", allowed="seconds above 0", value=value)
    return seconds
