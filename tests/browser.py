"""A headless Chromium for tests, driven through its DevTools protocol.

Messages go over two pipes as JSON that ends with a zero byte, so that no
package, driver or port is needed: only a `chromium` (Debian's package) or
`google-chrome` on the PATH.
"""

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
    # With it a page from a file gets an empty localStorage of its own after
    # one or two reloads of a hundred. What suggest.js does then, its tests
    # bring about.
    "--disable-features=RenderDocument",
)


def find_browser() -> str | None:
    """Path of a Chromium, or None."""
    return next((p for name in NAMES if (p := shutil.which(name))), None)


class Browser:
    """One page in one browser; a context manager.

    Attributes:
        problems: texts of console errors and warnings, exceptions that no
            script caught, and requests that failed, since the start.
        requests: addresses that the page asked for, without data: ones.
    """

    def __init__(self, path: str, timeout: float = 120.0):
        self.path, self.timeout = path, timeout
        self.problems: list[str] = []
        self.requests: list[str] = []

    def __enter__(self) -> "Browser":
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        from_us, self._write = os.pipe()
        self._read, to_us = os.pipe()

        def connect():
            # Chromium reads from descriptor 3 and writes to 4.
            high = [os.dup2(fd, fd + 100) for fd in (from_us, to_us)]
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)

        self._process = subprocess.Popen(
            [self.path, *_FLAGS, f"--user-data-dir={self._folder.name}"],
            preexec_fn=connect,
            close_fds=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(from_us)
        os.close(to_us)
        self._buffer, self._number, self._session = b"", 0, None
        self._loaded = False
        target = self.call("Target.createTarget", url="about:blank")
        self._session = self.call(
            "Target.attachToTarget", targetId=target["targetId"], flatten=True
        )["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(self, *_) -> None:
        os.close(self._write)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._read)
        self._folder.cleanup()

    def call(self, method: str, **parameters) -> dict:
        """Sends a command and waits for its answer."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

    def open(self, address: str) -> None:
        """Opens a page and waits until it and its pictures are loaded."""
        self._loaded = False
        self.call("Page.navigate", url=address)
        while not self._loaded:
            self._receive()

    def reload(self) -> None:
        """Loads the page again, as its button does, and waits likewise."""
        self._loaded = False
        self.call("Page.reload")
        while not self._loaded:
            self._receive()

    def run(self, script: str):
        """The value of a JavaScript expression, awaited."""
        answer = self.call(
            "Runtime.evaluate",
            expression=script,
            awaitPromise=True,
            returnByValue=True,
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(str(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def download(self, selector: str, folder: Path) -> Path:
        """Clicks an element that gives a file; the file in `folder`."""
        self._saved = None
        self.call(
            "Browser.setDownloadBehavior",
            behavior="allow",
            downloadPath=str(folder),
            eventsEnabled=True,
        )
        self.run(f"document.querySelector({selector!r}).click()")
        while self._saved is None:
            self._receive()
        return folder / self._saved

    def look(self, width: int, height: int, dark: bool = False) -> None:
        """Sets the size of the window in pixels, and light or dark."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        self.call(
            "Emulation.setEmulatedMedia",
            features=[
                {
                    "name": "prefers-color-scheme",
                    "value": "dark" if dark else "light",
                }
            ],
        )

    def screenshot(self, path: Path) -> None:
        """Writes what the window shows as a PNG."""
        shot = self.call("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(shot["data"]))

    def _receive(self) -> dict:
        while b"\0" not in self._buffer:
            if not select.select([self._read], [], [], self.timeout)[0]:
                raise TimeoutError(f"no answer in {self.timeout:g} seconds")
            block = os.read(self._read, 1 << 20)
            if not block:
                raise RuntimeError("the browser ended")
            self._buffer += block
        message, self._buffer = self._buffer.split(b"\0", 1)
        event = json.loads(message)
        self._note(event.get("method", ""), event.get("params", {}))
        return event

    def _note(self, method: str, values: dict) -> None:
        if method == "Page.loadEventFired":
            self._loaded = True
        elif method == "Browser.downloadWillBegin":
            self._name = values["suggestedFilename"]
        elif method == "Browser.downloadProgress":
            if values["state"] != "inProgress":
                self._saved = self._name
        elif method == "Runtime.consoleAPICalled":
            if values["type"] in ("error", "warning", "assert"):
                self.problems.append(f"console: {values['args']}")
        elif method == "Runtime.exceptionThrown":
            self.problems.append(f"exception: {values['exceptionDetails']}")
        elif method == "Log.entryAdded":
            if values["entry"]["level"] in ("error", "warning"):
                self.problems.append(f"log: {values['entry']['text']}")
        elif method == "Network.requestWillBeSent":
            address = values["request"]["url"]
            if not address.startswith("data:"):
                self.requests.append(address)
        elif method == "Network.loadingFailed":
            self.problems.append(f"not loaded: {values['errorText']}")
