"""Claims about the environment's proxies: each entry of NO_PROXY is honoured, or is told to mean nothing."""

import asyncio

import pytest

from tests.harness.alerting import Receiver
from watchdog.notify.channel import Undelivered
from watchdog.notify.http import HttpSender
from watchdog.proxy import proxy_of, unreadable

PROXY = "http://user:planted@proxy.example:3128"


def way(url, no_proxy="", **environ):
    """The proxy to a URL, where one is set for everything."""
    return proxy_of(url, {"HTTPS_PROXY": PROXY, "HTTP_PROXY": PROXY, "NO_PROXY": no_proxy, **environ})


@pytest.mark.parametrize(
    ("entry", "host"),
    [
        ("10.0.0.0/8", "10.1.2.3"),
        ("10.1.2.3", "10.1.2.3"),
        ("10.1.2.3:9093", "10.1.2.3:9093"),
        ("10.0.0.0/8:9093", "10.1.2.3:9093"),
        ("fd00::/8", "[fd00::5]:9093"),
        ("[fd00::]/8", "[fd00::5]"),
        ("::1", "[::1]"),
        ("[::1]", "[::1]:1"),
        ("[::1]:9093", "[::1]:9093"),
        ("example.com", "example.com"),
        ("example.com", "hooks.example.com"),
        (".example.com", "hooks.example.com"),
        ("*.example.com", "hooks.EXAMPLE.com."),
        ("example.com:443", "example.com"),
        ("http://example.com", "example.com"),
        ("*", "anything.example"),
        (" a.example , b.example ", "b.example"),
        ("localhost,fd00::/8", "localhost"),
    ],
)
def test_no_proxy_leads_past_the_proxy(entry, host):
    assert way(f"https://{host}/", entry) is None


@pytest.mark.parametrize(
    ("entry", "host"),
    [
        ("", "example.com"),
        ("10.0.0.0/8", "11.1.2.3"),
        ("10.1.2.3:9093", "10.1.2.3:9094"),
        ("fd00::/8", "[fe80::5]"),
        ("example.com", "notexample.com"),
        ("example.com:8443", "example.com"),
        ("10.0.0.0/8", "ten.example"),
        ("[::1", "[::1]"),
    ],
)
def test_anything_else_goes_through_it(entry, host):
    assert way(f"https://{host}/", entry) == PROXY


@pytest.mark.parametrize("entry", ["[::1", "[nonsense]", "a b", "example.com:port", "10.0.0.0/99", "?"])
def test_an_entry_that_means_nothing_is_told_and_the_others_hold(entry):
    environ = {"no_proxy": f"localhost,{entry},[::1]"}
    assert unreadable(environ) == [entry]
    assert way("http://localhost/", **environ) is None


def test_small_letters_count_before_capitals_and_the_scheme_before_all():
    environ = {"https_proxy": "small:1", "HTTPS_PROXY": "http://capitals:1", "ALL_PROXY": "http://all:1"}
    assert proxy_of("https://a.example/", environ) == "http://small:1"
    assert proxy_of("http://a.example/", environ) == "http://all:1"
    assert proxy_of("http://a.example/", {}) is None


def test_a_header_of_a_request_is_never_taken_for_a_proxy():
    assert proxy_of("http://a.example/", {"HTTP_PROXY": "http://evil:1", "REQUEST_METHOD": "GET"}) is None


@pytest.fixture(autouse=True)
def bare(monkeypatch):
    for name in ("http_proxy", "no_proxy", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def sent(url):
    async def sending():
        post = HttpSender("certpack-watchdog/test")
        try:
            await post.send("POST", url, b"{}")
        finally:
            await post.close()

    asyncio.run(sending())


@pytest.mark.parametrize("entry", ["127.0.0.0/8", "localhost,fd00::/8,127.0.0.1", "[::1],127.0.0.1"])
def test_what_is_sent_to_people_goes_past_the_proxy_where_no_proxy_says_so(monkeypatch, entry):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", entry)
    with Receiver() as hook:
        sent(f"{hook.url}/hook")
        assert [got.path for got in hook.got] == ["/hook"]


def test_what_is_sent_to_people_goes_through_the_proxy_else(monkeypatch):
    with Receiver() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "")
        sent("http://hooks.example/hook")
        assert [got.path for got in proxy.got] == ["http://hooks.example/hook"]


def test_a_proxy_that_is_down_is_told(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "")
    with pytest.raises(Undelivered, match="could not connect"):
        sent("http://hooks.example/hook")
