"""Any trace there can be, for Hypothesis."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import strategies as st

from composite_llm.model.trace import (
    Attempt,
    Call,
    Dissent,
    RankedAnswer,
    Ranking,
    ReviewRecord,
    ToolCall,
    Trace,
)
from composite_llm.model.usage import Usage

TEXT = st.text(max_size=8)
"""Hypothesis leaves out lone surrogates unless told otherwise; see `test_half_a_surrogate_pair_…` for those."""
COUNT = st.integers(min_value=0, max_value=10**12)
SECONDS = st.floats(min_value=0, max_value=1e9)
MAYBE_SECONDS = st.none() | SECONDS
USAGES = st.builds(Usage, **dict.fromkeys(Usage.model_fields, COUNT))
COSTS = st.none() | st.floats(min_value=0, max_value=1e6)
STATUSES = st.sampled_from(["ok", "failed", "timed_out", "abandoned", "cancelled"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=3,
)

ATTEMPTS = st.builds(
    Attempt,
    model=TEXT,
    endpoint=st.none() | TEXT,
    start_s=SECONDS,
    duration_s=SECONDS,
    first_token_s=MAYBE_SECONDS,
    status=STATUSES,
    error=st.none() | TEXT,
    error_class=st.none() | TEXT,
    status_code=st.none() | st.integers(100, 599),
    usage=USAGES,
    cost_usd=COSTS,
    next_step=st.none() | TEXT,
    estimated=st.booleans(),
)
CALLS = st.builds(
    Call,
    id=TEXT,
    parent_id=st.none() | TEXT,
    stage=TEXT,
    role=TEXT,
    name=TEXT,
    model=TEXT,
    start_s=SECONDS,
    duration_s=SECONDS,
    first_token_s=MAYBE_SECONDS,
    usage=USAGES,
    cost_usd=COSTS,
    status=STATUSES,
    error=st.none() | TEXT,
    attempts=st.lists(ATTEMPTS, max_size=2),
    content=st.none() | TEXT,
)
TOOL_CALLS = st.builds(
    ToolCall,
    id=TEXT,
    round=COUNT,
    name=TEXT,
    arguments=st.dictionaries(TEXT, JSON, max_size=3) | TEXT,
    result=st.none() | TEXT,
    error=st.none() | TEXT,
    start_s=SECONDS,
    duration_s=SECONDS,
)
RANKINGS = st.builds(
    Ranking,
    method=st.sampled_from(["borda", "mean_position", "copeland"]),
    table=st.lists(
        st.builds(RankedAnswer, label=TEXT, name=TEXT, rank=COUNT, score=SECONDS, mean_position=MAYBE_SECONDS, first_places=COUNT),
        max_size=2,
    ),
    ballots=st.lists(
        st.builds(ReviewRecord, reviewer=TEXT, ranking=st.lists(TEXT, max_size=2), abstained=st.booleans(), problems=st.lists(TEXT, max_size=2)),
        max_size=2,
    ),
    agreement=st.none() | st.floats(0, 1),
    dissent=st.lists(st.builds(Dissent, name=TEXT, label=TEXT, champions=st.lists(TEXT, max_size=2), rank=COUNT), max_size=2),
)  # fmt: skip
TRACES = st.builds(
    Trace,
    id=TEXT,
    strategy=TEXT,
    model=TEXT,
    started_at=st.datetimes(datetime(1970, 1, 1), datetime(9000, 1, 1), timezones=st.just(UTC)),
    duration_s=SECONDS,
    usage=USAGES,
    cost_usd=COSTS,
    degraded=st.lists(TEXT, max_size=3),
    calls=st.lists(CALLS, max_size=2),
    tool_calls=st.lists(TOOL_CALLS, max_size=1),
    error=st.none() | TEXT,
    ranking=st.none() | RANKINGS,
    notes=st.lists(TEXT, max_size=2),
    self_moa=st.booleans(),
    reused=st.booleans(),
)
