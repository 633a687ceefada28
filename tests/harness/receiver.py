"""A small real HTTP server on loopback that receives what is sent, and behaves as badly as a test asks."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Got:
    """One request as it came."""

    def __init__(self, method, path, headers, body):
        self.method, self.path, self.headers, self.body = method, path, headers, body

    @property
    def json(self):
        return json.loads(self.body)


class Receiver:
    """Answers 200 unless told otherwise. ``with Receiver() as hook: hook.url``."""

    def __init__(self, port=0):
        self.got = []
        self.answers = []  # (status, headers, body), each used once; then 200
        self.hang = None  # an event to wait for before answering
        self.cut = False  # close the connection instead of answering
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def take(self):
                size = int(self.headers.get("content-length") or 0)
                receiver.got.append(Got(self.command, self.path, dict(self.headers), self.rfile.read(size)))
                if receiver.hang is not None:
                    receiver.hang.wait(30)
                if receiver.cut:
                    self.close_connection = True
                    return
                status, headers, body = receiver.answers.pop(0) if receiver.answers else (200, {}, b"ok")
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                try:
                    self.wfile.write(body)
                except OSError:
                    self.close_connection = True

            do_GET = do_POST = take  # noqa: N815  the names http.server looks for

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def wait_for(self, count, seconds=15):
        """Whether so many requests have come, once they have or the time is up."""
        deadline = time.monotonic() + seconds
        while len(self.got) < count and time.monotonic() < deadline:
            time.sleep(0.02)
        return len(self.got) >= count

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        if self.hang is not None:
            self.hang.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
