"""What votes, rankings and an ideal synthesis can reach, without any model: `python -m benchmarks.jury`.

A question has one right answer and some wrong ones. With probability √r a member follows a common cause, which is right
as often as the member is and leads to one wrong answer else; otherwise it is right or wrong by itself. So any two equal
members are right together with correlation r, and members who err together err alike.

A reviewer sees each answer's merit through noise: of a right and a wrong answer it prefers the right one as often as its
`discernment` says. Half of the noise belongs to what is answered (it sounds convincing to everybody, whoever says it), half
to how this reviewer takes this member's words. What a reviewer answered itself has no influence.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import Row, conditions, markdown
from composite_llm.evaluate.statistics import effective_votes

PLOTS = Path(__file__).parents[1] / "docs" / "plots"
SIZES = tuple(range(1, 16))
TRIALS = 40_000
SHARED_NOISE = 0.5

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Jury:
    """Members and what they are asked.

    Attributes:
        accuracies: How often each is right by itself; in configuration order.
        correlation: Of any two equal members' being right, 0 to 1.
        wrong_answers: How many wrong answers there are; 1 is a question of yes or no.
        discernment: How often a reviewer prefers the right one of a right and a wrong answer.
    """

    accuracies: tuple[float, ...]
    correlation: float = 0.0
    wrong_answers: int = 3
    discernment: float = 0.7

    @classmethod
    def of(cls, size: int, accuracy: float, **settings: float) -> Jury:
        """One of so many equal members."""
        return cls((accuracy,) * size, **settings)  # type: ignore[arg-type]  # one of the settings is an int

    def answers(self, trials: int, rng: np.random.Generator) -> Ints:
        """What each member answers to each question: 0 is right, the others are wrong ones."""
        shape = (trials, len(self.accuracies))
        follows = rng.random(shape) < math.sqrt(self.correlation)
        draw = np.where(follows, rng.random((trials, 1)), rng.random(shape))
        wrong = np.where(
            follows,
            rng.integers(1, self.wrong_answers + 1, (trials, 1)),
            rng.integers(1, self.wrong_answers + 1, shape),
        )
        return np.where(draw < np.asarray(self.accuracies), 0, wrong)

    def judgements(self, answers: Ints, rng: np.random.Generator) -> Floats:
        """How good each reviewer (the members, then one judge from outside) finds each answer: question, reviewer, answer."""
        trials, size = answers.shape
        merit = math.sqrt(2) * NormalDist().inv_cdf(self.discernment)
        convincing = rng.standard_normal((trials, self.wrong_answers + 1)) * math.sqrt(SHARED_NOISE)
        convincing[:, 0] += merit
        own = rng.standard_normal((trials, size + 1, size)) * math.sqrt(1 - SHARED_NOISE)
        return np.take_along_axis(convincing, answers, axis=1)[:, None, :] + own


def voted(answers: Ints) -> Ints:
    """Place of the member whose answer most gave; ties go by configuration order."""
    supporters = (answers[:, :, None] == answers[:, None, :]).sum(axis=2)
    return supporters.argmax(axis=1)


def ranked_first(ballots: Floats, method: str) -> Ints:
    """Place of the answer that wins the vote of a council whose members do not rank their own.

    The same as `composite_llm.strategies.voting.rank`, for many questions at once.

    Args:
        ballots: How good each member finds each answer: question, reviewer, answer.
        method: `borda` or `copeland`.
    """
    size = ballots.shape[1]
    if size < 3:
        # Nobody has two answers to compare.
        return np.zeros(len(ballots), dtype=np.int64)
    own = np.eye(size, dtype=bool)
    places = np.where(own, np.inf, -ballots).argsort(axis=2).argsort(axis=2).astype(np.float64)
    means = np.where(own, 0.0, places).sum(axis=1) / (size - 1)
    score = -means if method == "borda" else _copeland(ballots)
    firsts = ((places == 0) & ~own).sum(axis=1)
    # Ties go by mean place, then by first places, then by configuration order. Scores and sums of places are whole
    # numbers or their (size - 1)th parts, so that each step is far below the one before.
    key = score - means * 1e-3 + firsts * 1e-6 - np.arange(size) * 1e-9
    return key.argmax(axis=1)


def _copeland(ballots: Floats) -> Floats:
    trials, size, _ = ballots.shape
    preferences = np.zeros((trials, size, size))
    for reviewer in range(size):
        seen = ballots[:, reviewer, :]
        preference = np.sign(seen[:, :, None] - seen[:, None, :])
        preference[:, reviewer, :] = preference[:, :, reviewer] = 0
        preferences += preference
    net: Floats = np.sign(preferences).sum(axis=2)
    return net


METHODS = ("one member", "vote", "borda", "copeland", "pick", "ideal synthesis")


def reached(jury: Jury, trials: int = TRIALS, seed: int = 1) -> dict[str, float]:
    """Share of right answers by each method.

    `pick`: one judge, who answers nothing itself, takes what it finds best. `ideal synthesis`: right if any member is.
    """
    rng = np.random.default_rng(seed)
    answers = jury.answers(trials, rng)
    right = answers == 0
    ballots = jury.judgements(answers, rng)

    def share(places: Ints) -> float:
        return float(right[np.arange(trials), places].mean())

    return {
        "one member": float(right.mean()),
        "vote": share(voted(answers)),
        "borda": share(ranked_first(ballots[:, :-1, :], "borda")),
        "copeland": share(ranked_first(ballots[:, :-1, :], "copeland")),
        "pick": share(ballots[:, -1, :].argmax(axis=1)),
        "ideal synthesis": float(right.any(axis=1).mean()),
    }


def jury_theorem(size: int, accuracy: float) -> float:
    """The closed form for independent members and a question of yes or no (Condorcet 1785); ties by configuration order."""
    return _majority(size, 0, accuracy)


def common_cause(size: int, accuracy: float, correlation: float) -> float:
    """The closed form of this model for a question of yes or no."""
    follows = math.sqrt(correlation)
    return math.fsum(
        _binomial(size, followers, follows)
        * (
            accuracy * _majority(size, followers, accuracy)
            + (1 - accuracy) * (1 - _majority(size, followers, 1 - accuracy))
        )
        for followers in range(size + 1)
    )


def _majority(size: int, certain: int, accuracy: float) -> float:
    """How often more than half are right if so many are and the rest are by themselves; half of the ties count."""
    rest = size - certain
    return math.fsum(
        _binomial(rest, right, accuracy) * (1.0 if 2 * (certain + right) > size else 0.5)
        for right in range(rest + 1)
        if 2 * (certain + right) >= size
    )


def _binomial(count: int, hits: int, probability: float) -> float:
    return math.comb(count, hits) * probability**hits * (1 - probability) ** (count - hits)


def measure(trials: int = TRIALS) -> list[Row]:
    """The distance from the closed forms, then what the documentation quotes."""
    rows = [Row("furthest from the jury theorem, in standard errors", _furthest(trials, 0.0), "", 4.5)]
    rows += [Row("furthest from the closed form with correlation 0.3", _furthest(trials, 0.3), "", 4.5)]
    for size in (3, 5, 9, 15):
        found = reached(Jury.of(size, 0.6, correlation=0.3), trials)
        rows += [Row(f"{size} members of 0.6, correlation 0.3: {name}", found[name], "") for name in METHODS]
    for others in (0.5, 0.6, 0.7):
        mixed = reached(Jury((0.8, *(others,) * 4), correlation=0.2), trials)
        rows += [Row(f"one of 0.8 and four of {others}: {name}", mixed[name], "") for name in METHODS[1:]]
    return rows


def _furthest(trials: int, correlation: float) -> float:
    """The largest of many deviations; of 30 such, one above 4.5 standard errors is seen once in 5,000 tries."""
    distances = []
    for size in SIZES:
        for accuracy in (0.4, 0.7):
            jury = Jury.of(size, accuracy, correlation=correlation, wrong_answers=1)
            expected = common_cause(size, accuracy, correlation)
            error = math.sqrt(expected * (1 - expected) / trials)
            distances.append(abs(reached(jury, trials, seed=size)["vote"] - expected) / error)
    return max(distances)


def draw(trials: int = TRIALS) -> None:
    """The plots of docs/when-councils-win.md."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    PLOTS.mkdir(parents=True, exist_ok=True)
    panels: Mapping[str, Callable[..., None]] = {
        "jury-votes": _draw_votes,
        "jury-methods": _draw_methods,
        "jury-mixed": _draw_mixed,
    }
    for name, panel in panels.items():
        figure, axes = pyplot.subplots(1, 2, figsize=(10, 3.4), layout="constrained")
        panel(axes, trials)
        for one in axes:
            one.grid(alpha=0.3)
            one.title.set_fontsize(9)
        # No date in it, so that a plot changes when its figures do.
        figure.savefig(PLOTS / f"{name}.png", dpi=100, metadata={"Software": None})
        pyplot.close(figure)


def _draw_votes(axes: Sequence[Any], trials: int) -> None:
    _ = trials
    left, right = axes
    for accuracy, style in ((0.75, "-"), (0.6, "--"), (0.45, ":")):
        for correlation, colour in ((0.0, "C0"), (0.2, "C1"), (0.5, "C3")):
            shares = [common_cause(size, accuracy, correlation) for size in SIZES]
            left.plot(SIZES, shares, style, color=colour, label=f"{accuracy}, correlation {correlation}")
    left.set(xlabel="members", ylabel="right by majority", title="A vote of equals on yes or no")
    for correlation in (0.0, 0.1, 0.2, 0.3, 0.5):
        worth = [effective_votes(size, correlation) for size in SIZES]
        right.plot(SIZES, worth, label=f"correlation {correlation}")
    right.set(xlabel="votes", ylabel="independent votes", title="What correlated votes are worth")
    for panel in axes:
        _legend_beside(panel)


_LINES = {
    "one member": "C7-",
    "vote": "C1-",
    "borda": "C2-",
    "copeland": "C3--",
    "pick": "C4-",
    "ideal synthesis": "C0-",
}


def _draw_methods(axes: Sequence[Any], trials: int) -> None:
    for panel, discernment in zip(axes, (0.6, 0.8), strict=True):
        found = [reached(Jury.of(size, 0.6, correlation=0.3, discernment=discernment), trials) for size in SIZES]
        for name in METHODS:
            panel.plot(SIZES, [one[name] for one in found], _LINES[name], label=name)
        title = f"members of 0.6, correlation 0.3, discernment {discernment}"
        panel.set(xlabel="members", ylabel="right", title=title, ylim=(0.5, 1))
    _legend_beside(axes[-1])


def _draw_mixed(axes: Sequence[Any], trials: int) -> None:
    others = [0.40 + 0.05 * step for step in range(9)]
    for panel, discernment in zip(axes, (0.6, 0.8), strict=True):
        juries = [Jury((0.8, *(other,) * 4), correlation=0.2, discernment=discernment) for other in others]
        found = [reached(jury, trials) for jury in juries]
        for name in METHODS[1:]:
            panel.plot(others, [one[name] for one in found], _LINES[name], label=name)
        panel.axhline(0.8, color="C7", linestyle=":", label="the best member alone")
        title = f"one member of 0.8 and four weaker ones, discernment {discernment}"
        panel.set(xlabel="accuracy of each of the four", ylabel="right", title=title, ylim=(0.5, 1))
    _legend_beside(axes[-1])


def _legend_beside(panel: Any) -> None:
    panel.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))


def main() -> None:
    """Print the table, write it as JSON, draw the plots."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.jury")
    parser.add_argument("--json", type=Path, default=Path("build/benchmarks/jury.json"), help="%(default)s")
    parser.add_argument("--trials", type=int, default=TRIALS, help="questions for each figure (%(default)s)")
    given = parser.parse_args()
    rows = measure(given.trials)
    print(markdown(rows))
    given.json.parent.mkdir(parents=True, exist_ok=True)
    figures = [{"what": row.what, "value": row.value, "reach": row.reach} for row in rows]
    given.json.write_text(
        json.dumps({"conditions": conditions(), "figures": figures}, indent=2) + "\n", encoding="utf-8"
    )
    draw(given.trials)


if __name__ == "__main__":
    main()
