"""Sends what LiteLLM would send through the OpenAI SDK without the SDK: less than half of the work of a call.

LiteLLM hands a chat completion to the OpenAI SDK, which types it, builds it, and hands it to httpx, which hands it to an
aiohttp session of LiteLLM's. Here the same request goes into the same session directly, and its answer comes back in the
form that LiteLLM reads. LiteLLM keeps everything before and after: providers, keys, parameters, prices, callbacks, errors.

    seam       where LiteLLM's call is taken out of its hands, and handed back when anything is unusual
    client     what LiteLLM asks of an `AsyncOpenAI`, for one call
    route      where the SDK would send it, with which headers and time limits
    exchange   the POST itself, and its failures as the SDK's errors
    answers    plain answers
    streams    streamed answers
    chunks     one piece of a stream
    ahead      the text of a stream, ahead of LiteLLM's wrapper
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from composite_llm.backend import compat

if TYPE_CHECKING:
    from composite_llm.backend.litellm_raw_chunks import Tap


def install() -> bool:
    """Make attempts of this library go this way; harmless when they do already.

    Returns:
        Whether they do. A LiteLLM or an OpenAI SDK that lacks one of the names that this rests on sends them in its own way.
    """
    if any(name.is_missing() for name in compat.FAST):
        return False
    try:
        from composite_llm.backend.fast_openai.seam import install_seam
    except ImportError:
        return False
    return install_seam()


def read_ahead(wrapper: Any, tap: Tap | None, params: Mapping[str, Any]) -> Any:
    """LiteLLM's chunks of a stream: ahead of its wrapper, where the stream came this way.

    Args:
        wrapper: LiteLLM's stream.
        tap: On it.
        params: The call's LiteLLM parameters.
    """
    try:
        from composite_llm.backend.fast_openai import ahead
    except ImportError:
        return wrapper
    return ahead.read_ahead(wrapper, tap, params)
