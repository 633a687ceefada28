"""A small real SMTP server on loopback that keeps the mails it takes, and refuses the recipients that a test names."""

import re
import socketserver
import threading
from email import message_from_bytes, policy


class MailServer:
    """``with MailServer() as server: server.port``; ``mails`` are pairs of recipients and message."""

    def __init__(self, refused=()):
        self.mails = []
        keep = self.mails.append

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                self.say("220 mail.example")
                self.recipients = []
                while line := self.rfile.readline().decode().strip():
                    verb = line[:4].upper()
                    getattr(self, f"take_{verb.lower()}", lambda _: self.say("250 ok"))(line)
                    if verb == "QUIT":
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
