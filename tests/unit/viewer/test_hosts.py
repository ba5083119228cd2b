from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from composite_llm.viewer.hosts import is_loopback, names_this_machine


@pytest.mark.parametrize(
    "header", ["127.0.0.1", "127.0.0.1:8765", "localhost:80", "LocalHost", "[::1]:9", "127.8.8.8", "localhost:"]
)
def test_the_loopback_is_answered_at_any_port(header: str) -> None:
    assert names_this_machine(header)


@pytest.mark.parametrize(
    "header",
    [
        "", "evil.example", "evil.example:8765", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1",
        "0.0.0.0", "localhost@evil.example", "127.0.0.1@evil.example", "evil.example#127.0.0.1", "[::1", "[::]",
        "2130706433", "local\u0127ost",
    ],
)  # fmt: skip
def test_another_name_is_not(header: str) -> None:
    assert not names_this_machine(header)


@given(st.text())
def test_no_header_makes_it_fail(header: str) -> None:
    assert names_this_machine(header) in (True, False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.1", "example.org", "", "127.1"])
def test_only_a_loopback_address_is_one(host: str) -> None:
    assert not is_loopback(host)
