"""All of the internet's services on loopback: a proxy that ends every tunnel itself, with a certificate for each name.

``far_services()`` sets the proxy and the authority in the environment, so that a program speaks to ``discord.com`` as
it always does, through real sockets and TLS, and what it said is kept. A plain request is taken as well.
``MailServer`` is a real SMTP server that keeps the mails it takes, and refuses the recipients that a test names.
"""

import re
import shutil
import socket
import socketserver
import ssl
import subprocess
import threading
from contextlib import contextmanager, suppress
from email import message_from_bytes, policy

import pytest

from tests.harness.alerting import Got

NAMES = (
    "discord.com",
    "hooks.slack.com",
    "slack.com",
    "api.telegram.org",
    "chat.googleapis.com",
    "webexapis.com",
    "api.ciscospark.com",
    "prod-0.westeurope.logic.azure.com",
    "api.pushover.net",
    "org.zulipchat.com",
    "api.twilio.com",
    "ntfy.sh",
    "api.opsgenie.com",
    "api.atlassian.com",
    "events.pagerduty.com",
    "oapi.dingtalk.com",
    "qyapi.weixin.qq.com",
    "open.feishu.cn",
)


def certificate(folder):
    """A key and a certificate for all names, vouched for by itself."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    key, signed = folder / "far-key.pem", folder / "far.pem"
    names = ",".join(f"DNS:{name}" for name in NAMES)
    how = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    what = ["-subj", "/CN=far", "-addext", f"subjectAltName={names}", "-keyout", key, "-out", signed]
    subprocess.run([openssl, *how, *what], check=True, capture_output=True)
    return key, signed


class FarServices:
    """``got`` is every request, with its ``host``; ``answer(got)`` gives status, headers and body of each answer."""

    def __init__(self, key, signed):
        self.got = []
        self.answer = lambda _: (200, {}, b"{}")
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(signed, key)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self._server.close()

    def _accept(self):
        with suppress(OSError):
            while True:
                connection, _ = self._server.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        host, streams = "", [connection.makefile("rb")]
        with suppress(OSError, ValueError):
            while request := _read(streams[-1]):
                method, target, headers, body = request
                if method == "CONNECT":
                    host = target.partition(":")[0]
                    connection.sendall(b"HTTP/1.1 200 ok\r\n\r\n")
                    connection = self._context.wrap_socket(connection, server_side=True)
                    streams.append(connection.makefile("rb"))
                    continue
                got = Got(method, target, headers, body)
                got.host = host
                self.got.append(got)
                status, more, said = self.answer(got)
                lines = [
                    f"HTTP/1.1 {status} x",
                    f"content-length: {len(said)}",
                    *(f"{k}: {v}" for k, v in more.items()),
                ]
                connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode() + said)
        for each in (*streams, connection):
            with suppress(OSError):
                each.close()


def _read(stream):
    line = stream.readline()
    if not line:
        return None
    method, target, _ = line.decode().split(" ", 2)
    headers = {}
    while field := stream.readline().strip():
        name, _, value = field.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    return method, target, headers, stream.read(int(headers.get("content-length", 0)))


@contextmanager
def far_services(folder, monkeypatch):
    """Run them, and lead everything but loopback to them."""
    key, signed = certificate(folder)
    far = FarServices(key, signed)
    for name in ("https_proxy", "HTTP_PROXY", "http_proxy", "no_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", far.url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, str(signed))
    try:
        yield far
    finally:
        far.close()


def _take(session, verb, line, replies):
    if verb in replies:
        session.say(replies[verb])
    else:
        getattr(session, f"take_{verb}", lambda _: session.say("250 ok"))(line)


class MailServer:
    """``with MailServer() as server: server.port``; ``mails`` are pairs of recipients and message.

    ``replies`` are what it says to commands, in place of a success.
    """

    def __init__(self, refused=(), **replies):
        self.mails = []
        keep = self.mails.append

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                self.say("220 mail.example")
                self.recipients = []
                while line := self.rfile.readline().decode().strip():
                    verb = line[:4].lower()
                    _take(self, verb, line, replies)
                    if verb == "quit":
                        break

            def say(self, text):
                self.wfile.write(text.encode() + b"\r\n")

            def take_rcpt(self, line):
                address = re.search("<(.*?)>", line)[1]
                if address in refused:
                    self.say("550 no such user")
                else:
                    self.recipients.append(address)
                    self.say("250 ok")

            def take_data(self, _):
                self.say("354 go on")
                lines = []
                while (line := self.rfile.readline()) != b".\r\n":
                    lines.append(line)
                keep((self.recipients, message_from_bytes(b"".join(lines), policy=policy.default)))
                self.recipients = []
                self.say("250 ok")

            def take_quit(self, _):
                self.say("221 bye")

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
