"""Each kind of channel against a real HTTP server that accepts, refuses, hangs, redirects and talks too much."""

import asyncio
import hashlib
import hmac
import logging
import socket
import subprocess
import sys
import threading
import time
from datetime import timedelta

import httpx
import pytest

from tests.harness.alerting import Receiver
from tests.harness.builders import T0, alert, firing, message, notice
from tests.harness.time import StandingClock
from watchdog.model.alerts import AlertLog, Kind, Phase, Route
from watchdog.model.packs import ManualRecord
from watchdog.model.reasons import Reason, Severity
from watchdog.notify import apprise
from watchdog.notify.alertmanager import AT_ONCE, HEARTBEAT, VALID_FOR, Alertmanager
from watchdog.notify.apprise import Service
from watchdog.notify.channel import Undelivered
from watchdog.notify.heartbeat import Heartbeat, failing
from watchdog.notify.http import MOST_BYTES, HttpSender, retry_after
from watchdog.notify.webhook import Webhook

SECRET_PATH = "/services/s3cr3t-path"


@pytest.fixture
def hook():
    with Receiver() as receiver:
        yield receiver


def ran(work):
    """Run ``work(post)`` with a post of its own, in real time."""

    async def running():
        post = HttpSender("certpack-watchdog/test")
        try:
            return await work(post)
        finally:
            await post.close()

    return asyncio.run(running())


def posted(url, **more):
    return ran(lambda post: post.send("POST", url, b"{}", **more))


def why(url, **more):
    """Why it was not delivered."""
    with pytest.raises(Undelivered) as caught:
        posted(url, **more)
    assert "s3cr3t" not in str(caught.value)
    return caught.value


# ── any request ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_whatever_success_it_is_the_message_is_accepted(hook, status):
    hook.answers = [(status, {}, b"")]
    posted(hook.url + SECRET_PATH)
    assert [(got.method, got.path) for got in hook.got] == [("POST", SECRET_PATH)]


@pytest.mark.parametrize(("status", "hopeless"), [(400, True), (401, False), (404, True), (413, True), (500, False)])
def test_what_is_refused_says_the_status_alone(hook, status, hopeless):
    hook.answers = [(status, {}, f"cannot POST {SECRET_PATH}".encode())]
    refusal = why(hook.url + SECRET_PATH)
    assert (str(refusal)[:8], refusal.hopeless) == (f"HTTP {status}", hopeless)


@pytest.mark.parametrize(
    ("header", "seconds"), [("7", 7), ("Wed, 21 Oct 2026 07:28:00 GMT", 0), ("-1", 0), ("9" * 400, 0), ("²", 0)]
)
def test_a_receiver_that_is_too_busy_may_say_for_how_long(hook, header, seconds):
    hook.answers = [(429, {"Retry-After": header.encode().decode("latin-1")}, b"")]
    assert why(hook.url).retry_after == timedelta(seconds=seconds)


AT = "Wed, 21 Oct 2026 07:28:00 GMT"


@pytest.mark.parametrize(
    ("until", "date", "said"),
    [
        ("Wed, 21 Oct 2026 07:28:42 GMT", AT, "42"),
        ("Wed, 21 Oct 2026 07:27:00 GMT", AT, "0"),
        ("Wed, 21 Oct 2026 07:28:42", AT, "Wed, 21 Oct 2026 07:28:42"),
        (AT, "", AT),
        ("12", AT, "12"),
    ],
)
def test_a_moment_to_come_back_at_is_counted_from_the_date_of_the_answer(until, date, said):
    assert retry_after({"retry-after": until, "date": date}) == said


def test_a_redirect_is_not_followed(hook):
    with Receiver() as elsewhere:
        hook.answers = [(307, {"Location": elsewhere.url}, b"")]
        assert "redirects are not followed" in str(why(hook.url))
        assert elsewhere.got == []


def test_a_receiver_that_hangs_costs_the_deadline_and_no_more(hook):
    hook.hang = threading.Event()
    began = time.monotonic()
    assert str(why(hook.url, deadline=timedelta(seconds=0.3))) == "no answer within 0.3 s"
    assert time.monotonic() - began < 3


def test_an_answer_without_end_is_cut_off():
    with socket.create_server(("127.0.0.1", 0)) as server:
        sent = []

        def flood():
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
                try:
                    while sum(sent) < 1000 * MOST_BYTES:
                        sent.append(connection.send(b"x" * 65536))
                except OSError:
                    pass

        thread = threading.Thread(target=flood)
        thread.start()
        posted(f"http://127.0.0.1:{server.getsockname()[1]}/")
        thread.join(10)
    assert sum(sent) < 300 * MOST_BYTES


class Rest(httpx.AsyncByteStream):
    """Of an answer: it begins, and ``then`` is awaited."""

    def __init__(self, then):
        self._then = then

    async def __aiter__(self):
        yield b"no more"
        await self._then()


async def broken():
    raise httpx.ReadError("")


async def endless():
    await asyncio.Event().wait()


@pytest.mark.parametrize("then", [broken, endless])
def test_what_has_a_status_of_success_is_accepted_though_the_rest_of_the_answer_is(then):
    network = httpx.MockTransport(lambda _: httpx.Response(200, stream=Rest(then)))
    post = HttpSender("certpack-watchdog/test", network)
    asyncio.run(post.send("POST", "http://hook.test/", b"{}", deadline=timedelta(seconds=0.3)))


def test_a_connection_that_breaks_or_cannot_be_made_is_told_in_our_own_words(hook):
    hook.cut = True
    assert str(why(hook.url + SECRET_PATH)) == "the connection broke"
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert str(why(f"http://127.0.0.1:{port}{SECRET_PATH}")).startswith("could not connect")
    assert str(why(f"https://127.0.0.1:{hook.port}{SECRET_PATH}")).startswith(("TLS failed", "could not connect"))
    assert "could not connect" in str(why("http://s3cr3t.invalid/"))


def answering(raw):
    """Why a request is not delivered to a peer that reads a little, sends ``raw`` and closes."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def once():
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(raw)

        thread = threading.Thread(target=once)
        thread.start()
        scheme = "http" if raw else "https"
        said = why(f"{scheme}://127.0.0.1:{server.getsockname()[1]}{SECRET_PATH}")
        thread.join(10)
    return said


def test_a_reason_phrase_in_any_encoding_is_ignored_and_its_status_and_headers_count():
    said = answering(b"HTTP/1.1 503 Zeit\xfcberschreitung\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n")
    assert (str(said), said.retry_after) == ("HTTP 503 Service Unavailable", timedelta(seconds=7))


def test_a_peer_that_closes_during_the_tls_handshake_is_told_so():
    assert str(answering(b"")) == "TLS failed: the other side closed the connection during the handshake"


@pytest.mark.parametrize("url", ["ftp://s3cr3t.example/", "http://", "http://[s3cr3t/", "s3cr3t"])
def test_a_url_that_is_none_is_told_and_not_shown(url):
    why(url)


def test_no_cookie_is_kept(hook):
    hook.answers = [(200, {"Set-Cookie": "session=1"}, b"")]

    async def twice(post):
        await post.send("POST", hook.url)
        await post.send("POST", hook.url)

    ran(twice)
    assert "cookie" not in {name.lower() for name in hook.got[1].headers}


# ── webhook ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_webhook_gets_the_whole_message_as_json(hook):
    record = ManualRecord("TXT", "_acme-challenge.p1.example", "token")
    news = message(7, "hook", notice(Kind.STARTED, body="what to do", records=(record,), restarts=2))
    ran(lambda post: Webhook(hook.url, "", post, StandingClock().now).send(news))
    [got] = hook.got
    assert got.headers["content-type"] == "application/json"
    body = got.json
    assert {name: body[name] for name in ("version", "id", "status", "severity", "total")} == {
        "version": 1,
        "id": "20261124T120000-7",
        "status": "firing",
        "severity": "critical",
        "total": 1,
    }
    [told] = body["alerts"]
    assert told["fingerprint"] == alert().fingerprint
    assert told["records"] == [{"type": "TXT", "name": "_acme-challenge.p1.example", "value": "token"}]
    assert (told["kind"], told["restarts"], told["until"]) == ("started", 2, None)


def test_a_webhook_is_signed_over_its_time_and_its_body(hook):
    clock = StandingClock()
    ran(lambda post: Webhook(hook.url, "planted", post, clock.now).send(message()))
    [got] = hook.got
    timestamp = got.headers["X-Certpack-Watchdog-Timestamp"]
    assert timestamp == str(int(clock.now().timestamp()))
    expected = hmac.new(b"planted", timestamp.encode() + b"." + got.body, hashlib.sha256).hexdigest()
    assert got.headers["X-Certpack-Watchdog-Signature"] == f"sha256={expected}"


def test_without_a_secret_a_webhook_is_not_signed(hook):
    ran(lambda post: Webhook(hook.url, "", post, StandingClock().now).send(message()))
    assert "X-Certpack-Watchdog-Signature" not in hook.got[0].headers


# ── Alertmanager ─────────────────────────────────────────────────────────────────────────────────────────────────


def logged(*states):
    return AlertLog({state.alert.fingerprint: state for state in states})


def told(hook, *states, now=T0, route=None, heartbeat=False):
    """What an Alertmanager is told."""
    ran(lambda post: Alertmanager(hook.url, post, route or Route(), heartbeat=heartbeat).refresh(logged(*states), now))
    assert {got.path for got in hook.got} == {"/api/v2/alerts"}
    return [each for got in hook.got for each in got.json]


def test_an_alertmanager_is_told_what_holds_and_until_when_that_is_sure(hook):
    [each] = told(hook, firing(alert(body="what to do")), now=T0 + timedelta(hours=1))
    assert each == {
        "labels": {
            "alertname": "CertpackWatchdogGaveUp",
            "reason": "gave_up",
            "severity": "critical",
            "account": "main",
            "zone": "p1.example",
            "pack": "id-of-p1",
        },
        "annotations": {
            "summary": "p1: gave_up",
            "description": "what to do",
            "runbook": "docs/runbooks/gave_up.md",
        },
        "startsAt": "2026-11-24T12:00:00Z",
        "endsAt": "2026-11-24T13:04:00Z",
    }
    assert timedelta(minutes=4) == VALID_FOR


def test_an_alertmanager_is_told_by_a_label_that_the_records_of_an_alert_are_new(hook):
    [each] = told(hook, firing(alert(reason=Reason.RECORDS_NEEDED, stage=2)))
    assert each["labels"]["restart"] == "2"


def test_an_alertmanager_is_told_ends_for_a_while(hook):
    over = firing(alert(), phase=Phase.CLOSED, notified_at=T0, ended_at=T0 + timedelta(hours=1))
    [each] = told(hook, over, now=T0 + timedelta(minutes=75))
    assert each["endsAt"] == "2026-11-24T13:00:00Z"
    hook.got.clear()
    assert told(hook, over, now=T0 + timedelta(minutes=76)) == []


def test_an_alertmanager_is_not_told_what_it_does_not_want_nor_what_is_pending(hook):
    pending = firing(alert("p2"), phase=Phase.PENDING)
    waiting = firing(alert("p3"), phase=Phase.WAITING, notified_at=T0, ceased_at=T0)
    route = Route(Severity.CRITICAL, zones=("p2.example", "p3.example"))
    assert told(hook, firing(alert()), pending, waiting, route=route) == []


def test_an_alertmanager_may_be_told_one_alert_that_always_fires(hook):
    [each] = told(hook, heartbeat=True)
    assert (each["labels"]["alertname"], each["endsAt"]) == (HEARTBEAT, "2026-11-24T12:04:00Z")


def test_many_alerts_are_told_in_several_requests(hook):
    states = [firing(alert(f"p{number}")) for number in range(AT_ONCE + 1)]
    assert len(told(hook, *states)) == AT_ONCE + 1
    assert len(hook.got) == 2


def test_a_page_with_a_success_is_no_alertmanager(hook):
    hook.answers = [(200, {}, b"<!doctype html><title>Log in</title>")]
    with pytest.raises(Undelivered, match="it was answered by a page, as no Alertmanager does"):
        told(hook, firing(alert()))


def test_a_base_path_before_the_api_stays(hook):
    ran(lambda post: Alertmanager(f"{hook.url}/am/", post, Route()).send(message()))
    assert hook.got[0].path == "/am/api/v2/alerts"


# ── heartbeat ────────────────────────────────────────────────────────────────────────────────────────────────────


def pinged(hook, *passes):
    async def beating(post):
        lost = []
        heartbeat = Heartbeat(f"{hook.url}/ping/s3cr3t?rid=1", post, _Hasty(), lost.append)
        task = asyncio.create_task(heartbeat.run())
        for each in passes:
            heartbeat.pass_completed(failed=each == "failed")
            await asyncio.wait_for(heartbeat.settled.wait(), 10)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return lost

    return ran(beating)


class _Hasty(StandingClock):
    async def sleep(self, _delay):
        await asyncio.sleep(0)


def test_a_heartbeat_is_asked_for_after_each_pass_and_says_when_one_failed(hook):
    assert pinged(hook, "good", "failed") == []
    assert [(got.method, got.path) for got in hook.got] == [
        ("GET", "/ping/s3cr3t?rid=1"),
        ("GET", "/ping/s3cr3t/fail?rid=1"),
    ]


def test_a_heartbeat_that_is_lost_is_tried_twice_more_then_told(hook):
    hook.answers = [(503, {}, b"")] * 2
    assert pinged(hook, "good") == []
    assert len(hook.got) == 3
    hook.answers = [(503, {}, b"")] * 3
    assert pinged(hook, "good") == ["HTTP 503 Service Unavailable"]


def test_a_heartbeat_of_a_check_that_is_not_there_is_lost_whatever_its_status(hook):
    hook.answers = [(200, {}, b"OK (not found)")] * 3
    assert pinged(hook, "good") == ["it was answered, but there is no such check: nobody would be called"]


@pytest.mark.parametrize("body", [b"OK", b"OK (rate limited)", b"<html>" + b" " * 200 + b"not found</html>"])
def test_a_heartbeat_that_is_answered_in_any_other_way_has_arrived(hook, body):
    hook.answers = [(200, {}, body)]
    assert pinged(hook, "good") == []


def test_the_failing_variant_keeps_slashes_and_queries_in_order():
    assert failing("https://hc.example/ping/1/") == "https://hc.example/ping/1/fail"


# ── any Apprise URL ──────────────────────────────────────────────────────────────────────────────────────────────


def test_any_apprise_url_takes_a_message(hook):
    service = Service(f"json://127.0.0.1:{hook.port}{SECRET_PATH}")
    asyncio.run(service.send(message(1, "ops", notice(Kind.STARTED), text="<b>news</b>")))
    [got] = hook.got
    assert (got.path, got.json["title"], got.json["type"]) == (SECRET_PATH, "<b>news</b>", "failure")
    assert got.json["message"] == "the body of <b>news</b>"


def test_a_service_that_refuses_is_told_without_its_url(hook, capfd, caplog):
    hook.answers = [(500, {}, b"s3cr3t")] * 4
    service = Service(f"json://127.0.0.1:{hook.port}{SECRET_PATH}")
    with caplog.at_level(logging.DEBUG), pytest.raises(Undelivered, match="did not accept it"):
        asyncio.run(service.send(message()))
    out, err = capfd.readouterr()
    assert "s3cr3t" not in out + err + caplog.text


def test_a_service_does_not_follow_redirects(hook):
    with Receiver() as elsewhere:
        hook.answers = [(307, {"Location": elsewhere.url}, b"")]
        with pytest.raises(Undelivered):
            asyncio.run(Service(f"json://127.0.0.1:{hook.port}{SECRET_PATH}").send(message()))
        assert elsewhere.got == []


@pytest.mark.parametrize("url", ["nonsense://s3cr3t", "slack://s3cr3t", "mailto://"])
def test_a_url_that_apprise_does_not_know_is_found_before_there_is_anything_to_send(url):
    with pytest.raises(Undelivered, match="Apprise knows no service for this URL"):
        asyncio.run(Service(url).check())


class _Plugin:
    verify_certificate, protocol, secure_protocol, retry = True, "x", None, 0
    title_maxlen, body_maxlen, overflow_amalgamate_title = 250, 32768, False

    def __len__(self):
        return 1

    def _formats(self):
        return ("text",)


class _Broken:
    """An Apprise whose plugins do what a test asks."""

    def __init__(self, notify):
        self._notify = notify
        self.AppriseAsset = dict
        self.Apprise = self

    def __call__(self, **_):
        return self

    def instantiate(self, *_, **__):
        return _Plugin()

    def add(self, _):
        return True

    def notify(self, *_, **__):
        return self._notify()


def test_a_plugin_that_raises_is_told_by_the_kind_of_its_fault():
    def notify():
        raise RuntimeError("s3cr3t")

    with pytest.raises(Undelivered) as caught:
        asyncio.run(Service("x://s3cr3t", lambda: _Broken(notify)).send(message()))
    assert str(caught.value) == "the service failed with RuntimeError"


def test_a_plugin_that_hangs_is_left_alone_and_not_asked_again_beside_itself(monkeypatch):
    monkeypatch.setattr(apprise, "DEADLINE", timedelta(seconds=0.2))
    release, calls = threading.Event(), []

    def notify():
        calls.append(1)
        release.wait(10)
        return True

    async def hanging():
        service = Service("x://s3cr3t", lambda: _Broken(notify))
        with pytest.raises(Undelivered, match="not done within"):
            await service.send(message())
        with pytest.raises(Undelivered, match="still hangs"):
            await service.send(message())
        release.set()
        for _ in range(500):
            await asyncio.sleep(0.01)
            if service._busy.done():  # noqa: SLF001  nothing else shows that the thread has ended
                break
        await service.send(message())

    asyncio.run(hanging())
    assert len(calls) == 2


@pytest.mark.process
def test_apprise_is_imported_only_where_it_is_used():
    code = "import sys, watchdog.daemon, watchdog.notify.pipeline; sys.exit('apprise' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
