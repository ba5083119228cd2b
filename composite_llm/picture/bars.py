"""The drawn part of a waterfall's row: what went on when, as an inline SVG that needs neither style nor script. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from composite_llm.model.trace import CallStatus
from composite_llm.picture.attempt_kinds import STATUS_WORDS
from composite_llm.picture.axis import Axis
from composite_llm.picture.figures import finite, seconds
from composite_llm.picture.markup import Child, Html, element

_HEIGHT = 20
_THICK = 10
_THINNEST = 0.25
"""Percent; SVG draws nothing of a width of 0."""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time with how it ended; moments in seconds after the run's start."""

    start_s: float
    duration_s: float
    status: CallStatus = "ok"
    first_token_s: float | None = None

    @property
    def end_s(self) -> float:
        """When it was over."""
        return finite(self.start_s) + max(0.0, finite(self.duration_s))


def bar(axis: Axis, span: Span, kind: str) -> Html:
    """One row with one bar: waiting pale, writing full, and a mark of its own for each way to end."""
    return _drawing(axis, _described(span), _shape(axis, span, kind))


def bracket(axis: Axis, spans: Sequence[Span], what: str) -> Html:
    """One row with a thin line around what is drawn in the rows below."""
    start_s = min((finite(span.start_s) for span in spans), default=0.0)
    end_s = max((span.end_s for span in spans), default=0.0)
    left, right = axis.at(start_s), axis.at(end_s)
    line = element(
        "rect", class_="bracket", x=_percent(left), y=-2, width=_percent(max(_THINNEST, right - left)), height=4
    )
    return _drawing(axis, f"{what}: {_from_to(start_s, end_s)}", [line])


def scale(axis: Axis) -> Html:
    """The row with the axis' labels."""
    labels = [
        element(
            "text",
            axis.tick_label(tick),
            class_="tick",
            x=_percent(axis.at(tick)),
            y=12,
            text_anchor="start" if index == 0 else "end" if axis.at(tick) > 95 else "middle",
        )
        for index, tick in enumerate(axis.ticks())
    ]
    return element("svg", *_grid(axis, "80%"), *labels, class_="bars", width="100%", height=_HEIGHT, aria_hidden="true")


def sample(status: CallStatus, first_token: bool = False) -> Html:
    """A small bar for the legend."""
    span = Span(0.0, 0.7, status, 0.35 if first_token else None)
    return element(
        "svg",
        _in_the_middle(_shape(Axis(1.0), span, "call")),
        class_="key",
        width=44,
        height=_HEIGHT,
        aria_hidden="true",
    )


def _drawing(axis: Axis, description: str, shapes: Sequence[Child]) -> Html:
    return element(
        "svg",
        *_grid(axis),
        _in_the_middle(shapes),
        class_="bars",
        width="100%",
        height=_HEIGHT,
        role="img",
        aria_label=description,
    )


def _in_the_middle(shapes: Sequence[Child]) -> Html:
    """A row is as high as its name is long, and its bar lies in the middle."""
    return element("svg", *shapes, y="50%", overflow="visible")


def _grid(axis: Axis, top: str = "0") -> list[Html]:
    places = [_percent(axis.at(tick)) for tick in axis.ticks()]
    return [element("line", class_="grid", x1=place, x2=place, y1=top, y2="100%") for place in places]


def _shape(axis: Axis, span: Span, kind: str) -> list[Html]:
    left, right = axis.at(span.start_s), axis.at(span.end_s)
    shapes = [
        element(
            "rect",
            class_=f"bar {kind} {span.status}",
            x=_percent(left),
            y=-_THICK // 2,
            width=_percent(max(_THINNEST, right - left)),
            height=_THICK,
        )
    ]
    if span.first_token_s is not None:
        first = min(right, max(left, axis.at(span.first_token_s)))
        shapes += [
            element(
                "rect", class_="waiting", x=_percent(left), y=-_THICK // 2, width=_percent(first - left), height=_THICK
            ),
            element(
                "svg", element("path", class_="first-token", d="M0 -8V8M-3 -8H3L0 -4Z"), x=_percent(first), **_OPEN
            ),
        ]
    if path := _END_MARKS.get(span.status):
        mark = element("path", class_=f"end {span.status}", d=path)
        shapes.append(element("svg", mark, x=_percent(right), **_OPEN))
    return shapes


_OPEN = {"class_": "mark", "overflow": "visible"}
"""A coordinate system of its own at a place in percent; what is drawn may reach over its border."""

_END_MARKS: dict[CallStatus, str] = {
    "failed": "M3 -4L11 4M11 -4L3 4",  # a cross
    "timed_out": "M2 -6V6M5 -6V6",  # the wall that it ran into
    "abandoned": "M3 0H11",  # a dash
    "cancelled": "M3 -3.5H10V3.5H3Z",  # a stop sign
}


def _described(span: Span) -> str:
    said = f"{STATUS_WORDS[span.status]}: {_from_to(finite(span.start_s), span.end_s)}"
    return said if span.first_token_s is None else f"{said}, first token at {seconds(span.first_token_s)}"


def _from_to(start_s: float, end_s: float) -> str:
    return f"{seconds(start_s)} to {seconds(end_s)}"


def _percent(value: float) -> str:
    return f"{value:.3f}%"
