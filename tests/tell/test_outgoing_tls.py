"""What leaves for people: TLS is always verified, and no redirect takes a URL or a message elsewhere."""

import asyncio
import shutil
import ssl
import subprocess

import pytest

from tests.harness.alerting import Receiver
from tests.harness.builders import NOW, message
from tests.harness.time import StandingClock
from watchdog.model.alerts import AlertLog, Route
from watchdog.notify.alertmanager import Alertmanager
from watchdog.notify.apprise import Service
from watchdog.notify.channel import Undelivered
from watchdog.notify.heartbeat import Heartbeat
from watchdog.notify.http import HttpSender
from watchdog.notify.webhook import Webhook

SECRET = "/s3cr3t"


async def by_webhook(url, post):
    await Webhook(url + SECRET, "key", post, lambda: NOW).send(message())


async def by_alertmanager(url, post):
    await Alertmanager(url + SECRET, post, Route()).refresh(AlertLog(), NOW)


async def by_heartbeat(url, post):
    lost = []
    heart = Heartbeat(url + SECRET, post, ImpatientClock(), lost.append)
    running = asyncio.create_task(heart.run())
    heart.pass_completed(failed=False)
    await heart.settled.wait()
    running.cancel()
    if lost:
        raise Undelivered(lost[0])


class ImpatientClock(StandingClock):
    async def sleep(self, _delay):
        await asyncio.sleep(0)


WAYS = [by_webhook, by_alertmanager, by_heartbeat]


def sent(way, url):
    """What kept it from arriving, if anything did."""

    async def story():
        post = HttpSender("certpack-watchdog/test")
        try:
            await way(url, post)
        except Undelivered as why:
            return str(why)
        finally:
            await post.close()
        return ""

    return asyncio.run(asyncio.wait_for(story(), 20))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("way", WAYS)
def test_a_redirect_to_another_host_is_told_and_that_host_hears_nothing(way, status):
    with Receiver() as elsewhere, Receiver() as hook:
        hook.answers = [(status, {"Location": elsewhere.url + "/there"}, b"")] * 3
        assert "redirects are not followed" in sent(way, hook.url)
        assert elsewhere.got == []


@pytest.mark.parametrize("location", [f"{SECRET}/again", "http://127.0.0.1:1/", "//127.0.0.1:1/", "file:///x"])
@pytest.mark.parametrize("way", WAYS)
def test_a_redirect_to_anywhere_is_told(way, location):
    with Receiver() as hook:
        hook.answers = [(307, {"Location": location}, b"")] * 3
        assert "redirects are not followed" in sent(way, hook.url)
        assert all("again" not in got.path for got in hook.got)


@pytest.mark.parametrize("switch", ["no", "No", "false", "0", "off", "n"])
def test_a_service_whose_url_turns_verification_off_is_refused_before_anything_is_sent(switch):
    service = Service(f"jsons://127.0.0.1:1{SECRET}?verify={switch}")
    for attempt in (service.check(), service.send(message())):
        with pytest.raises(Undelivered, match=r"verify=no\), which is refused; name your own authority") as refused:
            asyncio.run(attempt)
        assert "s3cr3t" not in str(refused.value)


@pytest.mark.parametrize("switch", ["", "?verify=yes"])
def test_a_service_whose_url_leaves_verification_on_is_taken(switch):
    asyncio.run(Service(f"jsons://127.0.0.1:1{SECRET}{switch}").check())


@pytest.fixture
def over_tls(tmp_path, monkeypatch):
    """``over_tls(name)``: a receiver whose certificate, for that host, is vouched for by itself alone."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")

    def made(name, *, trusted=False):
        key, signed = tmp_path / "key.pem", tmp_path / "signed.pem"
        kind = "IP" if name[0].isdigit() else "DNS"
        how = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
        what = ["-subj", "/CN=x", "-addext", f"subjectAltName={kind}:{name}", "-keyout", key, "-out", signed]
        subprocess.run([openssl, *how, *what], check=True, capture_output=True)
        if trusted:
            for variable in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
                monkeypatch.setenv(variable, str(signed))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(signed, key)
        hook = Receiver()
        hook._server.socket = context.wrap_socket(hook._server.socket, server_side=True)  # noqa: SLF001 - as http.server wants it
        return hook

    return made


async def by_service(url, _):
    await Service(url.replace("https://", "jsons://") + SECRET).send(message())


@pytest.mark.real
@pytest.mark.parametrize("way", [*WAYS, by_service])
@pytest.mark.parametrize(("name", "trusted"), [("127.0.0.1", False), ("hooks.example", True)], ids=["unknown", "other"])
def test_a_certificate_that_nobody_vouches_for_or_of_another_host_is_refused(over_tls, way, name, trusted):
    with over_tls(name, trusted=trusted) as hook:
        why = sent(way, hook.url.replace("http:", "https:"))
        assert "TLS failed" in why or (way is by_service and "did not accept it" in why)
        assert hook.got == []


@pytest.mark.real
@pytest.mark.parametrize("way", [*WAYS, by_service])
def test_a_certificate_that_the_environment_vouches_for_is_taken(over_tls, way):
    with over_tls("127.0.0.1", trusted=True) as hook:
        assert sent(way, hook.url.replace("http:", "https:")) == ""
        assert len(hook.got) == 1
