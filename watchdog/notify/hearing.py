"""What a service answers to Apprise: heard as it comes, since Apprise only tells whether it is content.

Its plug-ins send by ``requests`` or ``smtplib``, each in its own way, and some take a refusal for a success: DingTalk
and WeCom refuse with HTTP 200 and an ``errcode``. So while ``heard`` is entered, every answer that its thread gets is
kept as far as it matters: the status, how long to wait, whether it is a refusal, and why, in the service's own words.
Those words may repeat the URL that was asked, so who shows them takes out what is of that. ``apprise`` alone uses this.
"""

import json
import math
import re
import smtplib
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from watchdog.model.text import clean
from watchdog.notify.http import retry_after

_SUCCESSES = range(200, 300)
_TOO_MANY = 429
_MAIL_REFUSED = 400

_MOST_BYTES = 64 * 1024
_MOST_WORDS = 200
_MOST_SECONDS = 10**6
_WORDS = ("description", "errmsg", "error", "message", "msg", "errors")
"""Where services say why: Telegram, DingTalk and WeCom, Slack and ntfy, Discord, Feishu, Pushover."""

_ONE_WORD = re.compile(r"[a-z]+(?:_[a-z]+)+")
"""How Slack's webhooks say it: ``channel_is_archived``."""

_LONGEST_PART = 24
"""Characters without a space that may be words; what is longer may be anything."""

_SHORTEST_SECRET = 6


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One answer. ``words`` are the service's own, empty where it gave none; ``retry_after`` in whole seconds.

    ``status`` is HTTP's, or that of a mail server's reply (``of_mail``).
    """

    status: int
    refuses: bool
    words: str = ""
    retry_after: str = ""
    of_mail: bool = False

    @property
    def succeeded(self) -> bool:
        """Whether it is a success by its status, whatever its body says."""
        return self.status in _SUCCESSES

    def words_without(self, url: str) -> str:
        """The words, without what may be a secret; or nothing, where they hold a part of this URL.

        In that of a mail only the password is secret: mail servers say which recipient they refuse.
        """
        secret = _password(url) if self.of_mail else _parts(url)
        said = self.words.casefold()
        if any(len(part) >= _SHORTEST_SECRET and part in said for part in secret):
            return ""
        return " ".join(part if len(part) <= _LONGEST_PART else "…" for part in self.words.split())


def _parts(url: str) -> set[str]:
    return {part for text in (url, unquote(url)) for part in re.split(r"[^a-z0-9_-]+", text.casefold())}


def _password(url: str) -> set[str]:
    parts = urlsplit(url)
    given = [parts.password or "", *parse_qs(parts.query).get("pass", [])]
    return {text.casefold() for each in given for text in (each, unquote(each))}


_here = threading.local()


@contextmanager
def heard() -> Iterator[list[Answer]]:
    """All answers that this thread gets meanwhile."""
    _listen()
    answers: list[Answer] = []
    _here.answers = answers
    try:
        yield answers
    finally:
        _here.answers = None


def _listen() -> None:
    """Have every answer to ``requests`` and ``smtplib`` pass by here; once, and for good."""
    from requests import Session  # noqa: PLC0415  as heavy as Apprise, and imported by it

    send = Session.send
    if getattr(send, "is_heard", False):
        return

    def sent(self: Any, request: Any, **how: Any) -> Any:
        answer = send(self, request, **how)
        answers = getattr(_here, "answers", None)
        if answers is not None:
            answers.append(answer_of(answer.status_code, answer.headers, b"" if how.get("stream") else answer.content))
        return answer

    receive = smtplib.SMTP.getreply

    def received(self: smtplib.SMTP) -> tuple[int, bytes]:
        code, text = receive(self)
        answers = getattr(_here, "answers", None)
        if answers is not None:
            words = clean(text.decode("utf-8", "replace"), _MOST_WORDS)
            answers.append(Answer(status=code, refuses=code >= _MAIL_REFUSED, words=words, of_mail=True))
        return code, text

    smtplib.SMTP.getreply = received  # type: ignore[method-assign]  # as below: every reply is read by it
    sent.is_heard = True  # type: ignore[attr-defined]  # a mark of ours
    Session.send = sent  # type: ignore[method-assign]  # there is no other place that each of its requests passes


def answer_of(status: int, headers: Mapping[str, str], body: bytes) -> Answer:
    """What an answer says: ``headers`` by name in any case."""
    said = _read(body)
    refuses = status not in _SUCCESSES or said.get("ok") is False or said.get("success") is False
    code = said.get("errcode")
    return Answer(
        status=status,
        refuses=refuses or (type(code) is int and code != 0),
        words=_words(said, body),
        retry_after=_retry_after(headers, said) if status == _TOO_MANY else "",
    )


def _read(body: bytes) -> dict[str, Any]:
    try:
        said = json.loads(body[:_MOST_BYTES])
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _words(said: dict[str, Any], body: bytes) -> str:
    for name in _WORDS:
        word = said.get(name)
        word = word[0] if isinstance(word, list) and word else word
        word = word.get("message") if isinstance(word, dict) else word
        if isinstance(word, str) and word.strip():
            return clean(word, _MOST_WORDS)
    text = body[:_MOST_WORDS].decode("utf-8", "replace").strip()
    return text if _ONE_WORD.fullmatch(text) else ""


def _retry_after(headers: Mapping[str, str], said: dict[str, Any]) -> str:
    """As the header has it, else as the body does: Discord's ``retry_after``, Telegram's ``parameters``."""
    if header := retry_after(headers):
        return header
    more = said.get("parameters")
    seconds = said.get("retry_after", more.get("retry_after") if isinstance(more, dict) else None)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < _MOST_SECONDS:
        return ""
    return str(math.ceil(seconds))
