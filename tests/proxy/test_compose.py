"""`docker-compose.yaml` hangs together with the files that it mounts; they run, without Docker, in `test_replicas.py`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.support.proxies import EXAMPLES, ROOT

COMPOSE: dict[str, Any] = yaml.safe_load((EXAMPLES / "docker-compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
PROXIES = [name for name in SERVICES if name.startswith("proxy-")]


def _mounted(service: str) -> dict[str, str]:
    """Paths in the container by the file in this directory."""
    volumes = [volume.split(":") for volume in SERVICES[service].get("volumes", ())]
    return {source.removeprefix("./"): target for source, target, *_ in volumes if source.startswith("./")}


def _environment_read(value: Any) -> Iterator[str]:
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _environment_read(inner)
    elif isinstance(value, str) and value.startswith("os.environ/"):
        yield value.removeprefix("os.environ/")


def test_there_are_two_proxies_redis_postgres_and_nginx() -> None:
    assert len(PROXIES) == 2
    assert {"redis", "postgres", "nginx"} <= set(SERVICES)


@pytest.mark.parametrize("service", SERVICES)
def test_every_file_that_a_service_mounts_is_there(service: str) -> None:
    for source in _mounted(service):
        assert (EXAMPLES / source).is_file()


@pytest.mark.parametrize("proxy", PROXIES)
def test_a_proxy_starts_with_a_mounted_configuration_and_has_what_it_includes(proxy: str) -> None:
    command, mounted = SERVICES[proxy]["command"], _mounted(proxy)
    config = command[command.index("--config") + 1]
    (name,) = [source for source, target in mounted.items() if target == config]
    included = yaml.safe_load((EXAMPLES / name).read_text(encoding="utf-8"))["include"]
    assert set(included) <= set(mounted)
    read = {
        variable
        for source in included
        for variable in _environment_read(yaml.safe_load((EXAMPLES / source).read_text(encoding="utf-8")))
    }
    assert read <= set(SERVICES[proxy]["environment"])


@pytest.mark.parametrize("proxy", PROXIES)
def test_nginx_and_the_proxies_meet(proxy: str) -> None:
    command = SERVICES[proxy]["command"]
    port = command[command.index("--port") + 1]
    assert f"server {proxy}:{port};" in (EXAMPLES / "nginx.conf").read_text(encoding="utf-8")
    assert proxy in SERVICES["nginx"]["depends_on"]


def test_every_service_that_one_waits_for_says_when_it_is_healthy() -> None:
    for settings in SERVICES.values():
        for name, how in settings.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"}
            assert "healthcheck" in SERVICES[name]


def test_the_images_of_the_proxies_are_built_from_this_checkout() -> None:
    build = SERVICES[PROXIES[0]]["build"]
    assert (EXAMPLES / build["context"]).resolve() == ROOT
    dockerfile = (ROOT / build["dockerfile"]).read_text(encoding="utf-8")
    for source in re.findall(r"^COPY (.+) \S+$", dockerfile, re.MULTILINE):
        for name in source.split():
            assert (ROOT / name).exists()
