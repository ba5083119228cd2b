"""A report as Markdown, and its pieces as text for other forms. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from composite_llm.evaluate.report import Difference, Judging, Members, Preference, Report, Row, Share

ROW_HEADS = ("contestant", "right", "accuracy", "95 %", "$ / question", "s / question", "tokens", "errors")
DIFFERENCE_HEADS = ("against", "only it right", "only other right", "points", "95 %", "p", "p (Holm)", "$ / point")
PREFERENCE_HEADS = ("against", "wins", "losses", "ties", "win rate", "95 %", "p", "p (Holm)")
WORTH_HEADS = ("member", "adds to the majority", "alone right", "$ / question")


def markdown(report: Report) -> str:
    """The whole report."""
    parts = [f"# {report.subject}: does it pay?", summary(report), _table(ROW_HEADS, map(row_cells, report.rows))]
    if report.differences:
        parts += [
            "## Against each of the others",
            "\n".join(f"- {_first_upper(one.verdict)}." for one in report.differences),
            _table(DIFFERENCE_HEADS, map(difference_cells, report.differences)),
        ]
    if report.preferences:
        parts += [
            "## What the judge preferred",
            "\n".join(f"- {_first_upper(one.verdict)}." for one in report.preferences),
            _table(PREFERENCE_HEADS, map(preference_cells, report.preferences)),
        ]
    if report.judging is not None:
        parts.append("\n".join(f"- {line}" for line in judging_lines(report.judging)))
    if report.members is not None:
        parts += [
            "## The members",
            "\n".join(f"- {line}" for line in member_lines(report.members)),
            _table(WORTH_HEADS, worth_rows(report.members)),
        ]
    parts.append("\n".join(f"- {line}" for line in remarks(report)))
    return "\n\n".join(part for part in parts if part) + "\n"


def summary(report: Report) -> str:
    """How much was asked, and what it cost."""
    asked = f"{report.questions} questions" + (f", {report.repeat} times each" if report.repeat > 1 else "")
    whole = "" if report.complete else " It is not complete: it was stopped, or its cap was reached."
    return f"{asked}; all answers together cost {usd(report.cost_usd)}.{whole}"


def row_cells(row: Row) -> tuple[str, ...]:
    """Under `ROW_HEADS`."""
    right = f"{row.right:g} of {row.questions}" if row.accuracy is not None else "–"
    return (
        row.name,
        right,
        percent(row.accuracy),
        between(row.accuracy),
        usd(row.cost_usd),
        "–" if row.seconds is None else f"{row.seconds:.1f}",
        "–" if row.tokens is None else f"{row.tokens:.0f}",
        str(row.errors),
    )


def difference_cells(one: Difference) -> tuple[str, ...]:
    """Under `DIFFERENCE_HEADS`."""
    points = "–" if one.difference is None else f"{100 * one.difference.value:+.1f}"
    shares = (points, between(one.difference, signed=True), f"{one.p:.3f}", f"{one.p_adjusted:.3f}")
    dear = "–" if one.usd_per_point is None else usd(one.usd_per_point)
    return (one.against, str(one.only_subject_right), str(one.only_other_right), *shares, dear)


def preference_cells(one: Preference) -> tuple[str, ...]:
    """Under `PREFERENCE_HEADS`."""
    counts = (str(one.wins), str(one.losses), str(one.ties))
    shares = (percent(one.win_rate), between(one.win_rate), f"{one.p:.3f}", f"{one.p_adjusted:.3f}")
    return (one.against, *counts, *shares)


def worth_rows(members: Members) -> list[tuple[str, ...]]:
    """Under `WORTH_HEADS`."""
    return [
        (
            one.name,
            "–" if one.majority_points is None else f"{one.majority_points:+.1f} points",
            str(one.only_one_right),
            usd(one.cost_usd),
        )
        for one in members.worth
    ]


def member_lines(members: Members) -> list[str]:
    """What the members have to do with the final answers, one sentence each."""
    lines = [
        f"Of {members.runs} answers a member was right in {members.anybody_right}; the final answer lost "
        f"{members.lost} of these, {members.lost_against_majority} against a right majority.",
        f"It mended {members.mended} where most members were wrong, {members.mended_alone} where all were.",
    ]
    if members.agreement is not None:
        lines.append(f"Two members gave the same answer {100 * members.agreement:.0f} % of the time.")
    if members.effective_votes is not None and members.correlation is not None:
        lines.append(
            f"Their being right correlates by {members.correlation:.2f}: {len(members.worth)} members are worth "
            f"{members.effective_votes:.1f} independent ones."
        )
    if members.ballots:
        lines.append(f"Of {members.ballots} ballots {members.abstained} ranked nobody.")
    if members.positional:
        lines.append(f"In {members.positional} runs a reviewer kept giving the order in which the answers were shown.")
    if members.degraded:
        codes = ", ".join(f"{code} {count}" for code, count in sorted(members.degraded.items()))
        lines.append(f"Runs that departed from the configuration: {codes}.")
    return lines


def judging_lines(judging: Judging) -> list[str]:
    """What was seen of the judge, one sentence each."""
    lines = [f"{judging.model} gave {judging.verdicts} verdicts, of which {judging.unread} could not be read."]
    if judging.first_preferred is not None:
        lines.append(
            f"It preferred the answer that was shown first in {100 * judging.first_preferred:.0f} % of its decisions "
            f"(50 % is no bias); in {judging.contradictions} pairs the order alone decided, which count as ties."
        )
    lines.append(f"The verdicts cost {usd(judging.cost_usd)}.")
    return lines


def remarks(report: Report) -> list[str]:
    """What else should be known, one sentence each."""
    found = [
        f"Two passes of {row.name} differ by up to {100 * row.noise_floor:.1f} points for no reason but chance."
        for row in report.rows
        if row.noise_floor is not None
    ]
    unread = [f"{row.unread} of {row.name}" for row in report.rows if row.unread]
    if unread:
        found.append(f"Answers in which nothing to score was found, counted as wrong: {', '.join(unread)}.")
    if report.failures:
        listed = ", ".join(f"{what} {count}" for what, count in sorted(report.failures.items()))
        found.append(f"Requests without an answer, neither right nor wrong: {listed}.")
    return found


def usd(value: float | None) -> str:
    """Money; small amounts with as many digits as they need."""
    if value is None:
        return "unknown"
    return f"${value:.2f}" if value >= 10 else f"${value:.4f}" if value >= 0.01 else f"${value:.6f}"


def percent(share: Share | None) -> str:
    """A share."""
    return "–" if share is None else f"{100 * share.value:.1f} %"


def between(share: Share | None, *, signed: bool = False) -> str:
    """The ends of its interval."""
    if share is None:
        return "–"
    form = "+.1f" if signed else ".1f"
    return f"{100 * share.low:{form}} to {100 * share.high:{form}}"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _first_upper(text: str) -> str:
    return text[:1].upper() + text[1:]
