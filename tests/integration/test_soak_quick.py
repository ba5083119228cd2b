"""A small storm; `make soak` is the large one."""

from __future__ import annotations

import pytest

from tests.support.interpreter import run_program


@pytest.mark.timeout(300)
def test_a_storm_of_two_hundred_runs_leaves_nothing_behind_and_nothing_uncounted() -> None:
    ended = run_program(
        """
        import runpy, sys
        sys.argv = ["soak", "--runs", "200", "--at-once", "100", "--limit", "240"]
        runpy.run_module("soak", run_name="__main__")
        """,
        timeout_s=280,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr[-2000:]
    assert "200 runs in" in ended.stdout
    assert "all is well" in ended.stdout
