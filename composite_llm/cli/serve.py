"""`composite serve`: a LiteLLM proxy whose models are profiles."""

from __future__ import annotations

import contextlib
import importlib.util
import ipaddress
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from composite_llm.cli.completing import complete_profile
from composite_llm.cli.exits import fail, misuse
from composite_llm.cli.target import ConfigOption, OfflineOption
from composite_llm.model.model_strings import profile_model

KEY_VARIABLE = "LITELLM_MASTER_KEY"

PROXY = "import gc; import litellm.proxy.proxy_server; gc.freeze(); litellm.run_server()"
"""A full garbage collection with LiteLLM loaded stops every request for a sixth of a second; frozen objects are left out."""

_DEMO: Mapping[str, Any] = {
    "moa": {"strategy": "moa", "model": "openai/gpt-4.1", "proposers": ["openai/gpt-4.1-mini", "openai/gpt-5-nano"]},
    "council": {
        "strategy": "council",
        "model": "openai/gpt-4.1",
        "members": ["openai/gpt-4.1-mini", "openai/gpt-5-nano", "openai/gpt-4o-mini"],
    },
}
"""What `--offline` serves where there is no configuration."""


def serve(
    profiles: Annotated[
        list[str] | None,
        typer.Option(
            "--profile", help="A profile to serve; once for each. Default: all.", autocompletion=complete_profile
        ),
    ] = None,
    host: Annotated[str, typer.Option("--host", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="The port to listen on.", min=1, max=65535)] = 4000,
    config: ConfigOption = None,
    write: Annotated[Path | None, typer.Option("--write", help="Keep the proxy's configuration in this file.")] = None,
    start: Annotated[bool, typer.Option("--start/--no-start", help="Whether to start it, or only to --write.")] = True,
    offline: OfflineOption = False,
) -> None:
    """Start a LiteLLM proxy whose models are profiles.

    Clients need a key: that of LITELLM_MASTER_KEY, or a new one for each start, which is printed.
    """
    if not start and write is None:
        misuse("--no-start does nothing without --write")
    if start:
        _check_installed()
    _check_address(host)
    from composite_llm.cli.loading import load
    from composite_llm.cli.offline import models

    with models(offline=offline) as at, tempfile.TemporaryDirectory(prefix="composite-") as directory:
        content = at.config(config)
        if isinstance(content, Mapping):
            content = content if content.get("profiles") else at.played(_DEMO)
            content = _written(Path(directory) / "composite.yaml", content)
        load(content)
        names, source = _served(profiles, content)
        proxy_file = _written(write or Path(directory) / "proxy.yaml", _proxy_config(names))
        if write is not None:
            print(f"written: {write}", file=sys.stderr)
        if start:
            _run(proxy_file, source, host, port, names[0], Path(directory) / "proxy.log")


def _check_installed() -> None:
    if any(importlib.util.find_spec(name) is None for name in ("fastapi", "uvicorn", "apscheduler")):
        fail("the LiteLLM proxy is not installed; pip install 'composite-llm[proxy]'")


def _check_address(host: str) -> None:
    with contextlib.suppress(ValueError):
        if ipaddress.ip_address(host).is_loopback:
            return
    if host != "localhost" and not os.environ.get(KEY_VARIABLE):
        # A key that is printed at each start is for a look around, not for a service that others reach.
        misuse(f"--host {host} can be reached from elsewhere; set {KEY_VARIABLE} to the key that clients need")


def _served(wanted: list[str] | None, config: Path | None) -> tuple[list[str], Path]:
    """The names of the profiles, and the file that has them."""
    from composite_llm.config.profiles import default_path, load_profiles

    path = config or default_path()
    known = load_profiles(path) if path is not None else None
    if path is None or known is None or not known.by_name:
        misuse("there are no profiles to serve: name a file with --config, or try --offline")
    return [known.find(name).name for name in wanted or known.by_name], path.resolve()


def _proxy_config(names: list[str]) -> dict[str, Any]:
    from composite_llm.provider.capabilities import model_info
    from composite_llm.runtime import services

    known = services()
    deployments = []
    for name in names:
        model = profile_model(name)
        info = {
            **model_info(model, known.facts, known.profiles),
            # A probe would be a whole deliberation, with its bill.
            "disable_background_health_check": True,
        }
        deployments.append({"model_name": name, "litellm_params": {"model": model}, "model_info": info})
    return {
        "model_list": deployments,
        # A composite retries its nodes itself; the Router would repeat the whole deliberation.
        "router_settings": {"num_retries": 0},
        "litellm_settings": {
            "custom_provider_map": [{"provider": "composite", "custom_handler": "composite_llm.handler"}]
        },
        "general_settings": {"master_key": f"os.environ/{KEY_VARIABLE}", "cancel_on_disconnect": True},
    }


def _written(path: Path, content: Any) -> Path:
    import yaml

    try:
        path.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")
    except OSError as error:
        fail(f"{path}: {error.strerror or 'cannot be written'}")
    return path


def _run(proxy_file: Path, profiles: Path, host: str, port: int, model: str, log: Path) -> None:
    from composite_llm.config.profiles import CONFIG_VARIABLE

    key = os.environ.get(KEY_VARIABLE) or f"sk-{secrets.token_hex(12)}"
    environment = {**os.environ, KEY_VARIABLE: key, CONFIG_VARIABLE: str(profiles)}
    command = [sys.executable, "-c", PROXY, "--config", str(proxy_file)]
    with (
        log.open("wb") as output,
        _ended_by_signals(),
        subprocess.Popen(
            [*command, "--host", host, "--port", str(port)],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Ctrl-C is for this process alone, which then ends the proxy in order.
            start_new_session=True,
        ) as proxy,
    ):
        try:
            _wait_until_it_answers(_address(host, port), proxy, log)
            print(_curl(_address(host, port), key, model), flush=True)
            print("Ctrl-C ends it.", file=sys.stderr)
            code = proxy.wait()
        finally:
            proxy.terminate()
    fail(f"the proxy ended with exit code {code}: {_last_line(log)}")


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """A service manager's SIGTERM ends the proxy too."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _wait_until_it_answers(address: str, proxy: subprocess.Popen[bytes], log: Path) -> None:
    import http.client
    import time

    print("Starting the proxy …", file=sys.stderr)
    host, _, port = address.removeprefix("http://").rpartition(":")
    while proxy.poll() is None:
        connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=5)
        with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
            connection.request("GET", "/health/liveliness")
            if connection.getresponse().status == 200:
                return
        time.sleep(0.2)
    fail(f"the proxy did not start: {_last_line(log)}")


def _address(host: str, port: int) -> str:
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"


def _curl(address: str, key: str, model: str) -> str:
    import json

    # A key of the environment is its owner's to write out.
    shown = f"${KEY_VARIABLE}" if os.environ.get(KEY_VARIABLE) else key
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "Postgres or SQLite?"}]})
    quoted = body.replace("'", "'\\''")
    return (
        f'curl -s {address}/v1/chat/completions -H "Authorization: Bearer {shown}" '
        f"-H 'Content-Type: application/json' -d '{quoted}'"
    )


def _last_line(log: Path) -> str:
    from composite_llm.model.masking import masked_text

    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return masked_text(lines[-1]) if lines else "it printed nothing"
