from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from composite_llm.config.profiles import load_profiles
from composite_llm.config.telemetry_section import configured_telemetry, telemetry_settings
from composite_llm.model.errors import InvalidConfig, InvalidOption
from composite_llm.observe.telemetry_settings import TELEMETRY_VARIABLE, TelemetrySettings, default_path

HERE, THERE = TelemetrySettings(path=Path("/here.db"), privacy="full"), TelemetrySettings(path=Path("/there.db"))


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv(TELEMETRY_VARIABLE, raising=False)
    return tmp_path


def test_the_default_path_is_in_the_directory_for_state(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_path() == state / "composite_llm" / "traces.db"
    for value in ("", "relative/path"):
        monkeypatch.setenv("XDG_STATE_HOME", value)
        assert default_path() == Path.home() / ".local" / "state" / "composite_llm" / "traces.db"


@pytest.mark.parametrize(
    ("given", "environment", "configured", "path"),
    [
        (None, None, None, None),
        (None, "/e.db", None, "/e.db"),
        (None, "/e.db", HERE, "/e.db"),
        (None, None, HERE, "/here.db"),
        (None, "1", HERE, "/here.db"),
        (None, "on", None, "default"),
        (None, "0", HERE, None),
        (True, None, None, "default"),
        (True, "/e.db", None, "/e.db"),
        (True, "off", HERE, "/here.db"),
        (False, "/e.db", HERE, None),
        ("/g.db", "/e.db", HERE, "/g.db"),
        (THERE, "/e.db", HERE, "/there.db"),
        ({"path": "/m.db"}, "/e.db", HERE, "/m.db"),
    ],
)
def test_register_comes_before_the_environment_and_that_before_the_configuration(
    given: Any, environment: str | None, configured: Any, path: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if environment is not None:
        monkeypatch.setenv(TELEMETRY_VARIABLE, environment)
    settings = telemetry_settings(given, configured)
    expected = str(default_path()) if path == "default" else path
    assert (None if settings is None else str(settings.path)) == expected


def test_the_environment_changes_the_path_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TELEMETRY_VARIABLE, "/e.db")
    settings = telemetry_settings(None, HERE)
    assert settings is not None
    assert settings.privacy == "full"


def test_a_path_is_made_absolute_and_its_home_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/somebody")
    for given, path in (("a.db", tmp_path / "a.db"), ("~/a.db", Path("/somebody/a.db"))):
        settings = configured_telemetry(given)
        assert settings is not None
        assert settings.path == path


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (7, "telemetry: got 7; allowed: true, a path, or path, privacy, max_age_days, max_size_mb"),
        ({"pth": "/a.db"}, "telemetry.pth: unknown key; did you mean 'path'?"),
        ({"privacy": "all"}, "telemetry.privacy: got 'all'; allowed: should be 'metadata', 'preview' or 'full'"),
        ({"max_age_days": 0}, "telemetry.max_age_days: got 0"),
        ({"path": "/"}, "telemetry.path: got '/'; allowed: a file, not the directory /"),
    ],
    ids=str,
)
def test_a_mistake_names_the_key_the_value_and_what_is_allowed(given: Any, said: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        configured_telemetry(given)
    assert said in caught.value.message


def test_a_configuration_names_the_store_beside_its_profiles(tmp_path: Path) -> None:
    file = tmp_path / "composite.yaml"
    file.write_text("telemetry:\n  path: /here.db\n  privacy: preview\nprofiles:\n  p: {strategy: moa, model: m}\n")
    profiles = load_profiles(file)
    assert profiles.sections["telemetry"] == TelemetrySettings(path=Path("/here.db"), privacy="preview")
    assert list(profiles.by_name) == ["p"]


def test_a_mistake_in_a_configuration_names_its_line(tmp_path: Path) -> None:
    file = tmp_path / "composite.yaml"
    file.write_text("profiles: {}\ntelemetry:\n  path: /here.db\n  privacy: none\n")
    with pytest.raises(InvalidConfig, match=r"composite\.yaml, line 4: telemetry\.privacy: got 'none'"):
        load_profiles(file)
