"""Runs a mixture and a stream without one of LiteLLM's private names, each name in a process of its own.

`python -m tests.support.without_names BASE_URL` prints a line of JSON for each. LiteLLM is imported once; the processes are
forked from there. It keeps its own name: only this package does not see it, or sees a function of another signature.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import logging
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

import litellm

from composite_llm.backend import compat

ABSENT = object()
LOADED_ONCE = (
    "aiohttp",
    "anyio.from_thread",
    "composite_llm.engine.stage",
    "composite_llm.observe.store",
    "composite_llm.run",
    "composite_llm.strategies",
    "litellm.main",
    "litellm.proxy._types",
    "openai.resources.chat.completions",
    "regex",
)
"""What looks at no private name when it is imported."""
PROPOSERS = ["openai/gpt-4o-mini", "openai/gpt-4.1-mini"]


def names() -> list[compat.PrivateName]:
    """All but those of the proxy alone; for these see tests/proxy/test_private_names.py."""
    return [name for name in dict.fromkeys(compat.NAMES) if not name.owner.startswith("litellm.proxy.")]


def cases() -> Iterator[tuple[str, compat.PrivateName | None]]:
    """What happens to which names: nothing; each is missing in turn; all functions are called otherwise."""
    yield "nothing", None
    yield "changed", None
    for name in names():
        yield "missing", name


def asked_by_us() -> bool:
    """Whether it is this package that looks."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals["__name__"] == __name__:
        frame = frame.f_back
    return str(frame.f_globals["__name__"]).startswith("composite_llm")


def changed(*, of_another_form: object) -> Any:
    """Stands for a function that takes something else than it did."""
    raise AssertionError(of_another_form)


class Hidden:
    """An attribute of a class or its instances that others see."""

    def __init__(self, owner: type, name: str, mode: str) -> None:
        self._name = name
        self._mode = mode
        self._own = inspect.getattr_static(owner, name, ABSENT)

    def __get__(self, instance: Any, owner: type) -> Any:
        if asked_by_us():
            if self._mode == "changed":
                return changed
            raise AttributeError(self._name)
        if instance is not None and self._name in vars(instance):
            return vars(instance)[self._name]
        if self._own is ABSENT:
            raise AttributeError(self._name)
        bind = getattr(type(self._own), "__get__", None)
        return self._own if bind is None else bind(self._own, instance, owner)

    def __set__(self, instance: Any, value: Any) -> None:
        put = getattr(type(self._own), "__set__", None)
        if put is not None:
            put(self._own, instance, value)
        else:
            vars(instance)[self._name] = value


def hide(name: compat.PrivateName, mode: str) -> None:
    module_name, _, class_name = name.owner.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError:
        return
    if not class_name:
        hide_in_module(module, name.names, mode)
        return
    owner = getattr(module, class_name, None)
    if owner is None:
        return
    dynamic = inspect.getattr_static(owner, name.names[0], ABSENT) is ABSENT and hasattr(owner, name.names[0])
    for kind in (owner, type(owner)) if dynamic else ():
        kind.__getattribute__ = hiding(kind.__getattribute__, name.names, mode)
    for one in name.names if not dynamic else ():
        setattr(owner, one, Hidden(owner, one, mode))
    declares = compat._declares
    compat._declares = lambda of, one: of is not owner or (one not in name.names and declares(of, one))  # type: ignore[assignment]


def hiding(find: Any, names: tuple[str, ...], mode: str) -> Any:
    """`__getattribute__` of a class that makes its attributes when they are asked for."""

    def found(self: Any, attribute: str) -> Any:
        if attribute in names and asked_by_us():
            if mode == "changed":
                return changed
            raise AttributeError(attribute)
        return find(self, attribute)

    return found


def hide_in_module(module: ModuleType, names: tuple[str, ...], mode: str) -> None:
    kind: Any = type(module)

    class Hiding(kind):  # type: ignore[misc]
        __getattribute__ = hiding(kind.__getattribute__, names, mode)

    module.__class__ = Hiding


class Warned(logging.Handler):
    """What the package warns of."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


class Sent:
    """How many requests go around the SDK."""

    def __init__(self) -> None:
        self.count = 0
        module = sys.modules.get("composite_llm.backend.fast_openai.client")
        if module is not None:
            exchange = module.exchange
            module.exchange = lambda *args, **kwargs: self.counted(exchange(*args, **kwargs))  # type: ignore[attr-defined]

    def counted(self, exchange: Any) -> Any:
        self.count += 1
        return exchange


def outcome(base_url: str, mode: str, name: compat.PrivateName | None) -> dict[str, Any]:
    """What comes of a mixture and of its stream."""
    for one in names() if mode == "changed" else [name] if name is not None else []:
        if mode == "missing" or one.called is not None:
            hide(one, mode)
    warned = Warned()
    logging.getLogger("composite_llm").addHandler(warned)
    import composite_llm

    routed = name is not None and name.owner.startswith("litellm.router")
    composite_llm.register(router=router(base_url) if routed else None)
    call = {
        "model": "composite/moa/openai/gpt-4o",
        "messages": [{"role": "user", "content": "Which bridge is the oldest?"}],
        "proposers": ["cheap", "cheap"] if routed else PROPOSERS,
        "api_base": base_url,
        "api_key": "sk-test",
    }
    sent = Sent()
    plain = litellm.completion(**call)
    streamed = asyncio.run(read(call))
    from composite_llm.backend import fast_openai

    return {
        "sent": sent.count,
        "requests": 2 * (len(PROPOSERS) + 1),
        "plain": plain.choices[0].message.content,
        "streamed": streamed,
        "degraded": list(composite_llm.get_trace(plain).degraded),
        "warnings": warned.messages,
        "fast": fast_openai.install(),
    }


async def read(call: dict[str, Any]) -> str:
    stream: Any = await litellm.acompletion(**call, stream=True)
    return "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])


def router(base_url: str) -> litellm.Router:
    params = {"model": PROPOSERS[0], "api_base": base_url, "api_key": "sk-test"}
    return litellm.Router(model_list=[{"model_name": "cheap", "litellm_params": params}])


def forked(work: Callable[[], dict[str, Any]]) -> Any:
    """What a function returns, or raises, in a child."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            result = work()
        except BaseException:  # noqa: BLE001  # told to the test
            result = {"error": traceback.format_exc()}
        os.write(writing, json.dumps(result).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    return json.loads(told or '{"error": "the process ended"}')


def main(base_url: str) -> None:
    """Two at a time."""
    for module in LOADED_ONCE:
        importlib.import_module(module)
    # LiteLLM loads its tokenizer when it is first asked for.
    assert sys.modules["litellm.main"].encoding
    with tempfile.TemporaryDirectory() as compiled, ThreadPoolExecutor(2) as threads:
        # What every process imports is compiled by the first alone, also where Python is told to keep nothing.
        sys.pycache_prefix, sys.dont_write_bytecode = compiled, False
        for line in threads.map(
            lambda case: [case[0], str(case[1]), forked(lambda: outcome(base_url, *case))], cases()
        ):
            sys.stdout.write(f"{json.dumps(line)}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
