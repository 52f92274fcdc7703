"""A real Chromium without a screen, driven over a pipe by the Chrome DevTools Protocol."""

from __future__ import annotations

import base64
import json
import os
import select
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from tests.real import need

_PATIENCE = 60.0
"""Seconds after which a browser that does not answer has failed."""
_GONE = b""
_FLAGS = (
    "headless",
    "no-sandbox",
    "disable-gpu",
    "disable-dev-shm-usage",
    "disable-extensions",
    "disable-background-networking",
    "disable-component-update",
    "no-first-run",
    "hide-scrollbars",
    "remote-debugging-pipe",
)

# The contrast of each text to the background that it is painted on. `getComputedStyle` returns a colour as
# `rgb(1, 2, 3)`, but a custom property verbatim.
_CONTRASTS = """
(() => {
  const parse = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = element => {
    for (let each = element; each; each = each.parentElement) {
      const colour = parse(getComputedStyle(each).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || ["title", "desc", "STYLE", "SCRIPT"].includes(element.tagName)) continue;
    const style = getComputedStyle(element);
    const fore = parse(element instanceof SVGElement ? style.fill : style.color);
    const [a, b] = [light(fore), light(behind(element))].sort((x, y) => y - x);
    found.push([walker.currentNode.data.trim(), (a + 0.05) / (b + 0.05)]);
  }
  return JSON.stringify(found);
})()
"""
# Compares the box of each text with the boxes of the elements that would clip it.
_CUT_OFF = """
(() => {
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode, element = node.parentElement;
    if (!node.data.trim() || ["title", "desc", "STYLE", "SCRIPT"].includes(element.tagName)) continue;
    if (!element.checkVisibility()) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const own = element instanceof SVGElement ? element.getBoundingClientRect() : range.getBoundingClientRect();
    for (let each = element; each && each !== document.body; each = each.parentElement) {
      const style = getComputedStyle(each);
      if (style.overflowX === "auto" || style.display === "inline") continue;
      const box = each.getBoundingClientRect();
      const clips = each.tagName === "svg" || style.overflowX !== "visible" || each.tagName === "SECTION";
      if (clips && (own.left < box.left - 1 || own.right > box.right + 1)) found.push(node.data.trim());
    }
  }
  return JSON.stringify(found);
})()
"""


class BrowserError(AssertionError):
    """The browser refused a command, or does not answer."""


class Browser:
    """One page of one browser: its requests, its complaints and its layout."""

    def __init__(self, profile: Path) -> None:
        self._profile = profile
        self._next = 0
        self._buffer = b""
        self._session: str | None = None
        self._events: list[dict[str, Any]] = []
        self._scripts = True

    def __enter__(self) -> Self:
        to_child, self._out = os.pipe()
        self._in, from_child = os.pipe()
        arguments = [f"--{flag}" for flag in _FLAGS]
        # Chromium reads descriptor 3 and writes 4. Python's own spawning cannot promise these numbers: a shell sets
        # them.
        script = f'exec "$@" 3<&{to_child} 4>&{from_child}'
        self._process = subprocess.Popen(
            ["bash", "-c", script, "bash", need("chromium"), *arguments, f"--user-data-dir={self._profile}"],
            pass_fds=(to_child, from_child),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_child)
        os.close(from_child)
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log", "Audits", "DOM", "Accessibility"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._session = None
            self.call("Browser.close")
            self._process.wait(20)
        except (BrowserError, OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        finally:
            os.close(self._out)
            os.close(self._in)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Perform one command of the protocol and return its result."""
        self._next += 1
        message = {"id": self._next, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._next:
                if "error" in answer:
                    raise BrowserError(f"{method}: {answer['error']}")
                result: dict[str, Any] = answer["result"]
                return result
            self._events.append(answer)

    def _read(self) -> dict[str, Any]:
        end = time.monotonic() + _PATIENCE
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], max(end - time.monotonic(), 0))
            if not ready:
                raise BrowserError("the browser does not answer")
            piece = os.read(self._in, 1 << 20)
            if piece == _GONE:
                raise BrowserError("the browser has ended")
            self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        return message

    def open(self, path: Path) -> None:
        """Open a file, and wait until all of its resources are loaded."""
        self._events.clear()
        self.call("Page.navigate", url=path.as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self._events):
            self._events.append(self._read())
        # Once a later command is answered, the browser has sent all events about earlier work.
        if self._scripts:
            self.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))")

    def told(self, method: str) -> list[dict[str, Any]]:
        """Return the parameters of the events of a method since the page was opened."""
        return [event["params"] for event in self._events if event.get("method") == method]

    @property
    def requests(self) -> list[str]:
        """The addresses of all requests, including that of the page itself."""
        return [each["request"]["url"] for each in self.told("Network.requestWillBeSent")]

    @property
    def blocked(self) -> list[str]:
        """The addresses of the requests that the page's policy stopped before they went out."""
        stopped = {
            each["requestId"]
            for each in self.told("Network.loadingFailed")
            if each.get("blockedReason") == "csp"
        }
        return [
            each["request"]["url"]
            for each in self.told("Network.requestWillBeSent")
            if each["requestId"] in stopped
        ]

    @property
    def complaints(self) -> list[str]:
        """Messages on the console, errors, and violations of the page's policy."""
        return [
            *(json.dumps(each["args"]) for each in self.told("Runtime.consoleAPICalled")),
            *(str(each["exceptionDetails"]) for each in self.told("Runtime.exceptionThrown")),
            *(each["entry"]["text"] for each in self.told("Log.entryAdded")),
            *(json.dumps(each["issue"]) for each in self.told("Audits.issueAdded")),
        ]

    def run(self, script: str) -> Any:
        """Return the value of a script; the page's policy does not restrict scripts that the browser runs."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise BrowserError(str(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def show(self, *, width: int = 1280, height: int = 900, dark: bool = False, paper: bool = False) -> None:
        """Lay the page out for a screen of that size in CSS pixels, or for paper, in a light or dark scheme."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media="print" if paper else "screen", features=[scheme])

    def scripts(self, *, run: bool) -> None:
        """Let pages that are opened from now on run their scripts, or not."""
        self.call("Emulation.setScriptExecutionDisabled", value=not run)
        self._scripts = run

    def press(self, key: str) -> None:
        """Press and release a key such as `Tab` or `Enter`, for the element that has the focus."""
        code = {"Tab": 9, "Enter": 13}[key]
        more = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **more
            )

    def contrasts(self) -> list[tuple[str, float]]:
        """Return each text with its contrast to the background that it is painted on."""
        found: list[tuple[str, float]] = json.loads(self.run(_CONTRASTS))
        return found

    def cut_off(self) -> list[str]:
        """Return the texts that extend beyond the box that clips them."""
        found: list[str] = json.loads(self.run(_CUT_OFF))
        return found

    def accessible(self) -> list[tuple[str, str, str]]:
        """Return the role, name and description of each node that a screen reader meets."""
        nodes = self.call("Accessibility.getFullAXTree")["nodes"]
        return [
            tuple(str(node.get(part, {}).get("value", "")) for part in ("role", "name", "description"))  # type: ignore[misc]
            for node in nodes
            if not node["ignored"]
        ]

    def picture(self, path: Path) -> None:
        """Write the whole page in its current layout as a PNG."""
        answer = self.call(
            "Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=self._whole()
        )
        path.write_bytes(base64.b64decode(answer["data"]))

    def _whole(self) -> dict[str, Any]:
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        return {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}

    def paper(self, path: Path) -> None:
        """Write the page as it would be printed, as a PDF."""
        answer = self.call("Page.printToPDF", printBackground=True, preferCSSPageSize=True)
        path.write_bytes(base64.b64decode(answer["data"]))


@contextmanager
def browser() -> Iterator[Browser]:
    """Start a browser for the length of the block; skip the test if chromium is not installed."""
    need("chromium")
    with (
        tempfile.TemporaryDirectory(prefix="jitid-browser-", ignore_cleanup_errors=True) as profile,
        Browser(Path(profile)) as found,
    ):
        yield found
