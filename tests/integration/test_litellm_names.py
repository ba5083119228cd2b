"""Which names LiteLLM reads from a call's keywords: on the proxy none of them is a client's, but for those listed here."""

from __future__ import annotations

import re
from pathlib import Path

import litellm
import pytest

from composite_llm.config.registry import ALL_OPTIONS
from composite_llm.proxy.litellm_names import CALL_PARAMETERS, ENVELOPE, is_litellms_own, litellms_own
from composite_llm.proxy.policy import is_closed

READERS = (
    "main.py",
    "router.py",
    "utils.py",
    "caching/caching.py",
    "caching/caching_handler.py",
    "litellm_core_utils/core_helpers.py",
    "litellm_core_utils/get_litellm_params.py",
    "litellm_core_utils/litellm_logging.py",
    "llms/anthropic/experimental_pass_through/adapters/handler.py",
    "llms/anthropic/pass_through/adapters/handler.py",
    "proxy/route_llm_request.py",
    "responses/litellm_completion_transformation/transformation.py",
    "responses/main.py",
    "router_utils/fallback_event_handlers.py",
)
_READ = re.compile(
    r"\b(?:kwargs|request_kwargs|call_kwargs|optional_params|non_default_params|litellm_params)"
    r"(?:\.(?:get|pop|setdefault)\(\s*|\[)[\"']([\w-]+)[\"']"
)
PROVIDERS = frozenset(
    [
        "adapter_id",
        "aspectRatio",
        "cache_control_injection_points",
        "contents",
        "dataSources",
        "dimensions",
        "document",
        "echo",
        "encoding_format",
        "extra_body",
        "format",
        "generationConfig",
        "index",
        "instructions",
        "object",
        "optional_params",
        "output_config",
        "output_format",
        "prompt_cache_options",
        "query",
        "reasoningSummary",
        "reasoning_summary",
        "sampleCount",
        "speed",
        "stop_sequences",
        "suffix",
        "system",
        "top_k",
        "top_n_tokens",
        "voice",
    ]
)
"""Parameters of providers, and bodies of endpoints: a client may send them, and they go into the final call's body."""


def _read_by_litellm() -> frozenset[str]:
    root = Path(litellm.__file__).parent
    texts = [(root / name).read_text(encoding="utf-8") for name in READERS if (root / name).exists()]
    return frozenset(name for text in texts for name in _READ.findall(text))


def test_what_litellm_reads_from_the_keywords_is_known_to_be_its_own() -> None:
    found = _read_by_litellm()
    assert len(found) > 150
    unknown = {name for name in found if not is_litellms_own(name) and not is_closed(name)}
    assert unknown - CALL_PARAMETERS - ENVELOPE - ALL_OPTIONS - PROVIDERS == set()


@pytest.mark.parametrize("name", ["fallbacks", "mock_response", "base_model", "model_list", "api_base", "num_retries"])
def test_its_signatures_and_lists_are_found(name: str) -> None:
    assert name in litellms_own()


def test_a_clients_own_parameters_are_not_among_them() -> None:
    assert not litellms_own() & (CALL_PARAMETERS | ALL_OPTIONS)
