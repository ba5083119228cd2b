"""Reviewers whose ballots only repeat the order in which they were shown the answers: they have judged nothing."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass

MAX_ENTRIES = 1000
"""So many reviewers are remembered at most: a caller may name ever new ones."""
_AGAINST_CHANCE = 200.0
_FEWEST = 2


@dataclass(slots=True)
class _Streak:
    runs: int = 0
    odds: float = 1.0


class PositionalBallots:
    """Counts, for each model that reviews, the runs in a row whose ballots repeat the order shown.

    A reviewer that judges three answers does so by chance one time in six, so a single ballot tells little; three in a
    row happen once in 216.
    """

    def __init__(self) -> None:
        self._streaks: OrderedDict[str, _Streak] = OrderedDict()

    def note(self, reviewer: str, ranked: int, *, as_shown: bool) -> bool:
        """Take down what a model has voted in one run.

        Args:
            reviewer: The model, and its endpoint where it has one of its own.
            ranked: How many answers each of its ballots ranks.
            as_shown: Whether all of them rank these in the order in which they were shown.

        Returns:
            Whether its last runs have repeated that order oftener than chance explains.
        """
        if ranked < 2:
            return False
        if not as_shown:
            self._streaks.pop(reviewer, None)
            return False
        streak = self._streaks.setdefault(reviewer, _Streak())
        self._streaks.move_to_end(reviewer)
        while len(self._streaks) > MAX_ENTRIES:
            self._streaks.popitem(last=False)
        streak.runs += 1
        streak.odds = min(streak.odds * math.factorial(min(ranked, 10)), _AGAINST_CHANCE)
        return streak.runs >= _FEWEST and streak.odds >= _AGAINST_CHANCE

    def reset(self) -> None:
        """Forget everything."""
        self._streaks.clear()
