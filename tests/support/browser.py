"""A real Chromium without a window, spoken to through its DevTools protocol.

The protocol: https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--headless",
    # Needed by root, as who CI's containers run.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)


@contextlib.contextmanager
def chromium() -> Iterator[str]:
    """Start one; its DevTools address. Skips the test where there is none."""
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        pytest.skip("no Chromium here: apt-get install --no-install-recommends chromium fonts-dejavu-core")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [program, *_FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            # Its helpers end with it.
            start_new_session=True,
        )
        try:
            yield _address(process)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def _address(process: subprocess.Popen[str]) -> str:
    """Where it listens, as soon as it says so."""
    assert process.stderr is not None
    heard = []
    for line in process.stderr:
        heard.append(line)
        if said := re.search(r"DevTools listening on (ws://\S+)", line):
            return said[1]
    raise AssertionError(f"Chromium did not start: {''.join(heard)}")


@dataclass(slots=True)
class Tab:
    """One page of a browser.

    Attributes:
        complaints: What the page wrote on its console, its errors, and what its policy refused.
        requests: Addresses that it asked for.
    """

    socket: aiohttp.ClientWebSocketResponse
    session: str = ""
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    sent: int = 0

    async def send(self, method: str, **params: Any) -> Any:
        """One command; its result."""
        self.sent += 1
        number = self.sent
        command: dict[str, Any] = {"id": number, "method": method, "params": params}
        await self.socket.send_json({**command, "sessionId": self.session} if self.session else command)
        while True:
            message = await self._hear()
            if message.get("id") == number:
                assert "error" not in message, message["error"]
                return message["result"]

    async def _hear(self) -> dict[str, Any]:
        message: dict[str, Any] = await self.socket.receive_json()
        method, params = message.get("method", ""), message.get("params", {})
        if method == "Runtime.consoleAPICalled":
            self.complaints.append(str(params["args"]))
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(str(params["exceptionDetails"]))
        elif method == "Log.entryAdded":
            self.complaints.append(params["entry"]["text"])
        elif method == "Page.javascriptDialogOpening":
            self.complaints.append(params["message"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        self.events.append(method)
        return message

    async def open(self, address: str) -> None:
        """Go there, and wait until all is loaded."""
        self.events.clear()
        await self.send("Page.navigate", url=address)
        await self.loaded()

    async def loaded(self) -> None:
        """Wait until a page has been loaded since `events` was cleared."""
        while "Page.loadEventFired" not in self.events:
            await self._hear()

    async def look(self, width: int, height: int, *, dark: bool = False, medium: str = "screen") -> None:
        """Set the window's size, the colour scheme and the medium."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        await self.send("Emulation.setDeviceMetricsOverride", **metrics)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.send("Emulation.setEmulatedMedia", media=medium, features=[scheme])

    async def value(self, expression: str) -> Any:
        """What an expression is worth on the page."""
        answer = await self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def click(self, x: float, y: float) -> None:
        """Press and release the left button there."""
        for kind in ("mousePressed", "mouseReleased"):
            await self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    async def screenshot(self) -> bytes:
        """What is to be seen, as PNG."""
        return base64.b64decode((await self.send("Page.captureScreenshot", format="png"))["data"])


@contextlib.asynccontextmanager
async def tab(address: str) -> AsyncIterator[Tab]:
    """A fresh page of the browser at a DevTools address."""
    async with aiohttp.ClientSession() as session, session.ws_connect(address, max_msg_size=0) as socket:
        made = Tab(socket)
        target = (await made.send("Target.createTarget", url="about:blank"))["targetId"]
        made.session = (await made.send("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            await made.send(f"{domain}.enable")
        try:
            yield made
        finally:
            made.session = ""
            await made.send("Target.closeTarget", targetId=target)
