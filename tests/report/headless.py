"""A page in Debian's chromium without a screen, driven as a person drives it: by what is pressed, and where.

The browser is spoken to by its own protocol over two pipes (`--remote-debugging-pipe`): no port that another process
could hold, no driver, no library. Every step waits for the browser's answer, none for time to pass; the one deadline is
for a browser that hangs.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
HANGS = 300.0
"""Seconds without a word after which a browser will say no more."""
SWITCHES = (
    "--headless=new",
    "--remote-debugging-pipe",
    "--no-sandbox",  # in a container there is none to be had; the pages are our own
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--hide-scrollbars",
    "--force-device-scale-factor=1",
)


def found() -> str | None:
    """A chromium on this machine."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """A conversation: each call waits for its answer, events that come between are kept."""

    def __init__(self, reads: int, writes: int) -> None:
        self.reads, self.writes = reads, writes
        self.buffer, self.number = b"", 0
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        """What the browser answers to a command."""
        self.number += 1
        asked = {"id": self.number, "method": method, "params": params}
        os.write(self.writes, json.dumps(asked | ({"sessionId": session} if session else {})).encode() + b"\0")
        while True:
            heard = self._hear()
            if heard.get("id") == self.number:
                assert "error" not in heard, f"{method}: {heard['error']}"
                result: dict[str, Any] = heard["result"]
                return result
            self.events.append(heard)

    def event(self, method: str, **wanted: Any) -> dict[str, Any]:
        """The next event of a name whose parameters hold `wanted`, heard already or yet to come."""
        while True:
            for place, heard in enumerate(self.events):
                params = heard.get("params", {})
                if heard.get("method") == method and wanted.items() <= params.items():
                    del self.events[place]
                    return dict(params)
            self.events.append(self._hear())

    def _hear(self) -> dict[str, Any]:
        while b"\0" not in self.buffer:
            ready, _, _ = select.select([self.reads], [], [], HANGS)
            assert ready, "the browser hangs"
            more = os.read(self.reads, 1 << 16)
            assert more, "the browser has ended"
            self.buffer += more
        line, _, self.buffer = self.buffer.partition(b"\0")
        heard: dict[str, Any] = json.loads(line)
        return heard


@contextmanager
def browsing(chromium: str, home: Path) -> Iterator[Browser]:
    """A browser with nothing in its profile."""
    (theirs_in, ours_out), (ours_in, theirs_out) = os.pipe(), os.pipe()
    # It reads from descriptor 3 and writes to 4, whatever numbers the pipes have here.
    opened = f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}'
    command = ["bash", "-c", opened, "bash", chromium, *SWITCHES, f"--user-data-dir={home / 'profile'}", "about:blank"]
    here = {**os.environ, "HOME": str(home), "XDG_CONFIG_HOME": str(home), "XDG_CACHE_HOME": str(home)}
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, pass_fds=(theirs_in, theirs_out), env=here, **quiet)  # type: ignore[call-overload]
    for end in (theirs_in, theirs_out):
        os.close(end)
    browser = Browser(ours_in, ours_out)
    try:
        yield browser
        with suppress(AssertionError, OSError):
            browser.call("Browser.close")
    finally:
        for end in (ours_in, ours_out):
            os.close(end)
        with suppress(subprocess.TimeoutExpired):
            process.wait(30)  # it goes by itself when asked to, or when the pipe is gone
        process.kill()
        process.wait()


class Tab:
    """One page, and what a person does with it."""

    def __init__(self, browser: Browser, downloads: Path) -> None:
        self.browser, self.downloads = browser, downloads
        target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self("Page.enable")
        self("Runtime.enable")
        self("Log.enable")
        where = str(downloads)
        browser.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=where, eventsEnabled=True)

    def __call__(self, method: str, **params: Any) -> dict[str, Any]:
        return self.browser.call(method, self.session, **params)

    def open(self, page: Path) -> None:
        """Load a file and run its scripts."""
        self("Page.navigate", url=page.resolve().as_uri())
        self.browser.event("Page.loadEventFired")

    def look(self, *, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """The size of the window, and light or dark."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self("Emulation.setDeviceMetricsOverride", **size)
        scheme = "dark" if dark else "light"
        self("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def ask(self, script: str) -> Any:
        """What an expression is worth in the page."""
        heard = self("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in heard, heard["exceptionDetails"]
        return heard["result"].get("value")

    def click(self, element: str) -> None:
        """Press the mouse in the middle of what an expression names; something else on top of it is an error."""
        x, y = self.ask(
            f"""(() => {{
              const one = {element};
              one.scrollIntoView({{ block: "center", behavior: "instant" }});
              const box = one.getBoundingClientRect(), at = [box.x + box.width / 2, box.y + box.height / 2];
              const top = document.elementFromPoint(...at);
              if (!one.contains(top)) throw new Error(`hidden by ${{top?.outerHTML}}`);
              return at;
            }})()"""
        )
        for kind in ("mousePressed", "mouseReleased"):
            self("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def press(self, key: str, text: str = "") -> None:
        """A key, where the focus is."""
        codes = {" ": ("Space", 32), "Tab": ("Tab", 9), "ArrowDown": ("ArrowDown", 40), "Enter": ("Enter", 13)}
        code, number = codes[key]
        about = {"key": key, "code": code, "windowsVirtualKeyCode": number}
        self("Input.dispatchKeyEvent", type="keyDown", **about, **({"text": text} if text else {}))
        self("Input.dispatchKeyEvent", type="keyUp", **about)

    def downloaded(self) -> Path:
        """The file that is being saved, once it is whole."""
        begun = self.browser.event("Browser.downloadWillBegin")
        self.browser.event("Browser.downloadProgress", guid=begun["guid"], state="completed")
        return self.downloads / str(begun["suggestedFilename"])

    def complaints(self) -> list[str]:
        """What the browser holds against the page: errors of scripts, what its policy has refused."""
        said = []
        for heard in self.browser.events:
            params = heard.get("params", {})
            if heard.get("method") == "Runtime.exceptionThrown":
                said.append(str(params["exceptionDetails"]))
            if heard.get("method") == "Log.entryAdded" and params["entry"]["level"] == "error":
                said.append(str(params["entry"]["text"]))
        return said

    def picture(self, path: Path) -> Path:
        """The whole page as it is drawn."""
        data = self("Page.captureScreenshot", format="png", captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(data))
        return path
