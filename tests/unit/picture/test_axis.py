from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from composite_llm.picture.axis import Axis, axis_of
from tests.support.runs_to_show import mixture


@pytest.mark.parametrize(
    ("length_s", "labels"),
    [
        (1, ["0.0 s", "0.2 s", "0.4 s", "0.6 s", "0.8 s", "1.0 s"]),
        (5.45, ["0 s", "1 s", "2 s", "3 s", "4 s", "5 s"]),
        (0.02, ["0.000 s", "0.005 s", "0.010 s", "0.015 s", "0.020 s"]),
        (4000, ["0 s", "1,000 s", "2,000 s", "3,000 s", "4,000 s"]),
    ],
)
def test_ticks_are_round_and_told_apart(length_s: float, labels: list[str]) -> None:
    axis = Axis(length_s)
    assert [axis.tick_label(tick) for tick in axis.ticks()] == labels


@given(st.floats(0.001, 1e11))
def test_there_are_a_few_ticks_and_all_lie_on_the_axis(length_s: float) -> None:
    axis = Axis(length_s)
    ticks = axis.ticks()
    assert 3 <= len(ticks) <= 8
    assert len({axis.tick_label(tick) for tick in ticks}) == len(ticks)
    assert ticks[-1] <= length_s * (1 + 1e-6)


@pytest.mark.parametrize("moment", [-1, math.nan, -math.inf])
def test_what_lies_before_the_start_is_drawn_at_the_edge(moment: float) -> None:
    assert Axis(2).at(moment) == 0


def test_an_axis_has_room_for_what_went_on_after_the_run() -> None:
    told = mixture()
    assert axis_of(told).length_s == told.duration_s
    assert axis_of(told.model_copy(update={"duration_s": 1})).length_s == pytest.approx(told.duration_s)
    nothing = told.model_copy(update={"duration_s": math.nan, "calls": []})
    assert axis_of(nothing).at(5) == 100
