"""A real Chromium, driven by its own driver over the W3C's WebDriver protocol: what a person sees, and can reach."""

import base64
import contextlib
import shutil
import socket
import subprocess
import time

import httpx

MISSING = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
"""What is not installed of what is needed (Debian: chromium, chromium-driver)."""

_KEYS = {"tab": "\ue004", "enter": "\ue007"}


class Browser:
    """One window."""

    def __init__(self, session):
        self._session = session

    def ask(self, method, path, **body):
        answer = self._session.request(method, path, json=body if method == "POST" else None)
        answer.raise_for_status()
        return answer.json()["value"]

    def go(self, url):
        self.ask("POST", "/url", url=url)

    def run(self, script, *args):
        """What a script of ours gives, which the page's policy does not concern."""
        return self.ask("POST", "/execute/sync", script=script, args=list(args))

    def press(self, key):
        key = _KEYS[key]
        strokes = [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]
        self.ask("POST", "/actions", actions=[{"type": "key", "id": "keyboard", "actions": strokes}])

    def complaints(self):
        """What the console says: broken policies, missing files, faults of scripts."""
        return [entry["message"] for entry in self.ask("POST", "/se/log", type="browser")]

    def prefer(self, scheme):
        """Somebody who likes it ``dark`` or ``light``."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.ask("POST", "/goog/cdp/execute", cmd="Emulation.setEmulatedMedia", params={"features": features})

    def picture(self, *, whole=True):
        """The page as PNG, all of it or what is seen without scrolling."""
        params = {"captureBeyondViewport": whole}
        answer = self.ask("POST", "/goog/cdp/execute", cmd="Page.captureScreenshot", params=params)
        return base64.b64decode(answer["data"])


@contextlib.contextmanager
def chromium(*, width=1100, height=900, scale=1):
    """A window of this size, in CSS pixels."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    driver = subprocess.Popen(
        ["chromedriver", f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True
    )
    flags = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
    ]
    metrics = {"width": width, "height": height, "pixelRatio": scale, "mobile": False, "touch": False}
    wanted = {
        "browserName": "chrome",
        "goog:loggingPrefs": {"browser": "ALL"},
        "goog:chromeOptions": {
            "binary": shutil.which("chromium"),
            "args": flags,
            "mobileEmulation": {"deviceMetrics": metrics},
        },
    }
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=120) as client:
            _await(client)
            answer = client.post("/session", json={"capabilities": {"alwaysMatch": wanted}})
            answer.raise_for_status()
            where = f"http://127.0.0.1:{port}/session/{answer.json()['value']['sessionId']}"
            with httpx.Client(base_url=where, trust_env=False, timeout=120) as session:
                try:
                    yield Browser(session)
                finally:  # chromedriver 156 would end alone; whether it still answers is no matter
                    session.post("/goog/cdp/execute", json={"cmd": "Browser.close", "params": {}})
    finally:
        driver.terminate()
        driver.wait(20)


def _await(client):
    deadline = time.monotonic() + 30
    while True:
        try:
            if client.get("/status").json()["value"]["ready"]:
                return
        except httpx.TransportError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.05)
