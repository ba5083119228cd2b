"""`composite config model-info` for a composite of a proxy's configuration."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.integration.cli.in_process import Done, run_here
from tests.support.proxies import EXAMPLE

Command = Callable[..., Done]

BROKEN = """
model_list:
  - {model_name: small, litellm_params: {model: openai/gpt-4o-mini, api_key: os.environ/NOT_SET_HERE}}
  - {model_name: sound, litellm_params: {model: composite/moa/small, proposers: [small]}}
  - {model_name: team, litellm_params: {model: composite/moa/small, proposers: [smal], layrs: 2}}
router_settings: {num_retries: 0}
litellm_settings: {custom_provider_map: [{provider: composite, custom_handler: composite_llm.handler}]}
"""


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]) -> Command:
    return lambda *arguments: run_here(capfd, "config", "model-info", *arguments)


def test_a_composite_of_a_proxys_configuration_gets_its_block(command: Command) -> None:
    done = command("team-council", "--proxy", str(EXAMPLE))
    assert done.returncode == 0, done.stderr
    info = yaml.safe_load(done.stdout)["model_info"]
    assert (info["max_input_tokens"], info["supports_function_calling"]) == (128000, True)
    assert info["output_cost_per_token"] > info["input_cost_per_token"] > 0


def test_a_name_that_is_not_there_is_one_line_with_the_nearest_names(command: Command) -> None:
    done = command("team-mao", "--proxy", str(EXAMPLE))
    assert done.returncode == 2
    assert "team-moa" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_broken_deployment_is_refused_with_each_mistake_on_a_line(tmp_path: Path, command: Command) -> None:
    path = tmp_path / "proxy.yaml"
    path.write_text(BROKEN, encoding="utf-8")
    done = command("team", "--proxy", str(path))
    assert done.returncode == 2
    assert done.stdout == ""
    assert f"{path}, line 5: team: layrs: unknown option; did you mean 'layers'?" in done.stderr
    assert f"{path}, line 5: team: proposers.0: 'smal' is not a model of this proxy" in done.stderr
    assert "Traceback" not in done.stderr
    assert command("sound", "--proxy", str(path)).returncode == 0
