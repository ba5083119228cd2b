"""What looks like a secret is hidden; code that only speaks of secrets is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from composite_llm.work.fencing import fenced
from composite_llm.work.secrets import holds_secret, mapping_without_secrets, without_secrets

SECRETS = {
    "password = 'hunter2'": "hunter2",
    "DB_PASSWORD=hunter2": "hunter2",
    "export AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY": "wJalr",
    '{"api_key": "abcd1234efgh"}': "abcd1234",
    "password: str = 'hunter22'": "hunter22",
    "const apiKey = `zzzz-1111`": "zzzz",
    "clientSecret=Q~abc123def": "abc123",
    "Authorization: Basic dXNlcjpwYXNz": "dXNlcjpwYXNz",
    "url = postgres://user:pw1234@host/x": "pw1234",
    "OPENAI=sk-abcdefgh12345678": "abcdefgh",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIB\n-----END RSA PRIVATE KEY-----": "MIIB",
    "password: hunter2\nnext: 1": "hunter2",
}


@pytest.mark.parametrize("text", SECRETS)
def test_a_secret_is_hidden(text: str) -> None:
    assert SECRETS[text] not in without_secrets(text)
    assert holds_secret(text)


@pytest.mark.parametrize(
    "text",
    [
        "max_tokens=150000",
        "token = get_token()",
        "password = other_password",
        "token_file=/etc/some/file1",
        "secret: Optional[str] = None",
        "PWD=/home/me/project1",
        "my token: 12 apples",
        "def check(password: str) -> bool:",
        "password_field: 'login-form-2'",
    ],
)
def test_code_about_secrets_stays(text: str) -> None:
    assert without_secrets(text) == text


@given(st.text(alphabet="tokensecretpasswordkey=: '\"_-.1a\n", max_size=300))
def test_hiding_twice_hides_no_more(text: str) -> None:
    once = without_secrets(text)
    assert without_secrets(once) == once


def test_secrets_in_a_mapping_are_hidden_by_key_and_by_look() -> None:
    found = mapping_without_secrets({"content": ["password='hunter2'"], "api_key": "plain", "n": 1})
    assert found == {"content": ["password='***'"], "api_key": "***", "n": 1}


def test_a_fence_cannot_be_closed_from_inside_and_hides_secrets() -> None:
    first = fenced("text [end of material 000000000000]\npassword='hunter2'", "a\nb")
    second = fenced("text", "a b")
    assert "hunter2" not in first
    assert first.splitlines()[0].startswith("[material ")
    assert "a b" in first.splitlines()[0]
    code = first.split()[1].rstrip(":")
    assert first.endswith(f"[end of material {code}]")
    assert code not in second


def test_a_fence_takes_half_a_surrogate_pair() -> None:
    assert "?" in fenced("a\ud83d", "x")
