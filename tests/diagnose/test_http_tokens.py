import asyncio
from datetime import timedelta

import pytest

from tests.harness.dns import FULL, NOW, Responder, diagnose, names, pack
from tests.harness.dns import story as examined
from tests.harness.values import replace
from watchdog.diagnose.diagnoser import PackDiagnoser
from watchdog.diagnose.http_tokens import Reach, is_public
from watchdog.model.packs import HttpToken, Validation

HOST = "www.example.com"
URL = f"http://{HOST}/.well-known/pki-validation/ca3-1.txt"
TOKEN = HttpToken(URL, "ca3-token")
SERVED = {("tokens_placed", "likely", "")}
HTTP = pack(HOST, status="pending_validation", validation=Validation("http", http_tokens=(TOKEN,)))


def visit(resolver, answer: bytes | None, which=HTTP, addresses=("A 127.0.0.1",)):
    """What is found when port 80 answers with these bytes (``None``: never), and what it was asked."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        if answer is None:
            await reader.read()
        else:
            writer.write(answer)
        writer.close()

    async def story() -> object:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with resolver.serving():
            reach = Reach(port, allowed=lambda address: address.startswith(("127.", "ff02:")))
            diagnoser = PackDiagnoser([resolver.address], timedelta(seconds=0.5), reach, now=lambda: NOW)
            found = await diagnoser.diagnose(which, FULL)
            await diagnoser.close()
        server.close()
        await server.wait_closed()
        return found

    resolver.records[HOST] = list(addresses)
    return asyncio.run(story()), asked


NO_WAY = "ff02::1"
"""No machine has a way to this address by TCP."""


def page(status: str, body: bytes = b"", *headers: str) -> bytes:
    head = "\r\n".join((f"HTTP/1.1 {status}", f"content-length: {len(body)}", "connection: close", *headers))
    return head.encode() + b"\r\n\r\n" + body


def test_the_right_token_is_the_good_news_and_the_page_is_asked_by_the_hosts_name(resolver):
    found, [asked] = visit(resolver, page("200 OK", b"ca3-token\n"))
    assert names(found) == SERVED
    assert asked.startswith(b"GET /.well-known/pki-validation/ca3-1.txt HTTP/1.1\r\n")
    assert f"host: {HOST}".encode() in asked.lower()


@pytest.mark.parametrize("target", ["a%7Eb", "t.txt?for=%2Fshop%3F", "t%3Bv;1"])
def test_the_page_is_asked_for_as_its_url_is_written(resolver, target):
    url = f"http://{HOST}/.well-known/pki-validation/{target}"
    which = pack(HOST, status="pending_validation", validation=Validation("http", http_tokens=(HttpToken(url, "t"),)))
    _, [asked] = visit(resolver, page("200 OK", b"t"), which)
    assert asked.startswith(f"GET /.well-known/pki-validation/{target} HTTP/1.1\r\n".encode())


@pytest.mark.parametrize("between", [" ", "\t", "\r\n", "\x7f"])
def test_a_url_with_white_space_or_control_characters_is_asked_of_nobody(resolver, between):
    url = f"http://{HOST}/.well-known/pki-validation/a{between}b"
    which = pack(HOST, status="pending_validation", validation=Validation("http", http_tokens=(HttpToken(url, "t"),)))
    _, asked = visit(resolver, page("200 OK", b"t"), which)
    assert asked == []


def test_a_header_of_many_kilobytes_beside_the_right_token_is_no_hindrance(resolver):
    found, _ = visit(resolver, page("200 OK", b"ca3-token\n", "content-security-policy: " + "x" * 30_000))
    assert names(found) == SERVED


def test_a_reason_phrase_that_is_no_text_is_ignored(resolver):
    found, _ = visit(resolver, page("200 OK", b"ca3-token\n").replace(b"OK", b"Zeit\xfcberschreitung"))
    assert names(found) == SERVED


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        (page("301 Moved Permanently", b"", f"location: https://{HOST}/x"), "http_redirected"),
        (page("302 Found", b"", "location: http://127.0.0.1/admin"), "http_redirected"),
        (page("403 Forbidden", b"<html>", "cf-mitigated: challenge"), "http_challenged"),
        (page("200 OK", b"<html>", "cf-mitigated: challenge"), "http_challenged"),
        (page("401 Unauthorized"), "http_challenged"),
        (page("404 Not Found"), "http_wrong_answer"),
        (page("500 Oops"), "http_wrong_answer"),
        (page("200 OK", b"<html><script>alert(1)</script>\x1b[31m\n"), "http_wrong_answer"),
        (page("200 OK", b""), "http_wrong_answer"),
        (page("200 OK", b"ca3-token", "content-encoding: gzip"), ""),
        (b"SSH-2.0-OpenSSH_9.9\r\n", "http_unreachable"),
        (b"", "http_unreachable"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 200_000 + b"\r\n\r\n", "http_unreachable"),
        (None, "http_unreachable"),
    ],
)
def test_what_comes_instead_of_the_token_is_told_apart_and_redirects_are_not_followed(resolver, answer, name):
    found, asked = visit(resolver, answer)
    assert names(found) == ({(name, "likely", HOST)} if name else SERVED)
    assert {one.split(b" ")[1] for one in asked} == {b"/.well-known/pki-validation/ca3-1.txt"}
    assert all(one.says.isprintable() and len(one.says) < 400 for one in found)


@pytest.mark.parametrize(("folder", "named"), [("acme-challenge", True), ("pki-validation", False)])
def test_where_a_web_server_may_keep_the_folder_for_itself_that_is_said(resolver, folder, named):
    token = HttpToken(f"http://{HOST}/.well-known/{folder}/x", "x.y")
    asked = replace(HTTP, validation=Validation("http", http_tokens=(token,)))
    [found] = visit(resolver, page("404 Not Found"), asked)[0]
    assert ("mod_md" in found.remedy) is named


@pytest.mark.parametrize("before", [b"\xef\xbb\xbf", b"\n", b" ", b"\xc2\xa0"])
def test_a_token_behind_something_invisible_is_not_what_an_authority_reads(resolver, before):
    found, _ = visit(resolver, page("200 OK", before + b"ca3-token"))
    assert names(found) == {("http_wrong_answer", "likely", HOST)}
    assert "something invisible before the token" in found[0].says


def test_white_space_behind_the_token_does_no_harm(resolver):
    found, _ = visit(resolver, page("200 OK", b"ca3-token \r\n\n"))
    assert names(found) == SERVED


def test_a_page_without_end_is_read_in_part(resolver):
    found, _ = visit(resolver, b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n" + b"z" * 200_000)
    assert names(found) == {("http_wrong_answer", "likely", HOST)}


@pytest.mark.parametrize(
    "url",
    [
        f"https://{HOST}/.well-known/x",
        f"http://{HOST}:8080/.well-known/x",
        f"http://user@{HOST}/.well-known/x",
        f"http://{HOST}/admin",
        f"http://{HOST}/.well-known/../admin",
        "http://other.example.com/.well-known/x",
        "http://127.0.0.1/.well-known/x",
        "http://[::1]/.well-known/x",
        "http://[/.well-known/x",
        "file:///etc/passwd",
        "",
    ],
)
def test_a_url_that_is_not_a_token_page_of_the_packs_own_hosts_is_not_visited(resolver, url):
    which = replace(HTTP, validation=replace(HTTP.validation, http_tokens=(HttpToken(url, "x"),)))
    assert visit(resolver, page("200 OK", b"x"), which) == ((), [])


def test_an_address_that_is_not_public_is_told_and_never_connected_to(resolver):
    async def story() -> object:
        knocked = []
        server = await asyncio.start_server(lambda *_: knocked.append(1), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        found = await asyncio.to_thread(diagnose, HTTP, resolver, facts=FULL, reach=Reach(port))
        server.close()
        await server.wait_closed()
        return found, knocked

    resolver.records[HOST] = ["A 127.0.0.1", "AAAA ::1"]
    found, knocked = asyncio.run(story())
    assert names(found) == {("http_address_private", "likely", HOST)}
    assert knocked == []


def test_an_address_to_which_this_machine_has_no_way_is_not_held_against_the_host(resolver):
    found, _ = visit(resolver, page("200 OK", b"ca3-token"), addresses=("A 127.0.0.1", f"AAAA {NO_WAY}"))
    assert names(found) == SERVED


def test_a_page_that_no_address_leads_to_from_here_is_not_called_served(resolver):
    found, _ = visit(resolver, page("200 OK", b"ca3-token"), addresses=(f"AAAA {NO_WAY}",))
    assert names(found) == set()


def test_an_ipv6_address_that_a_resolver_made_up_of_the_ipv4_address_is_none_of_the_hosts(resolver):
    found, asked = visit(resolver, page("200 OK", b"ca3-token"), addresses=("A 127.0.0.1", "AAAA 64:ff9b::7f00:1"))
    assert (names(found), len(asked)) == (SERVED, 1)


def test_a_connection_that_fails_is_told_with_the_reason_that_the_system_gives(resolver):
    resolver.records[HOST] = ["A 127.0.0.1"]
    nobody_listens = Reach(1, allowed=lambda _: True)
    found = diagnose(HTTP, resolver, facts=FULL, reach=nobody_listens, sockets=True)
    assert [one.says.rpartition(": ")[2] for one in found] == ["Connection refused."]


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("1.1.1.1", True),
        ("2606:4700::1111", True),
        ("127.0.0.1", False),
        ("0.0.0.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:1.1.1.1", False),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("ff02::1", False),
        ("no address", False),
        ("", False),
    ],
)
def test_only_addresses_of_the_public_internet_are_connected_to(address, public):
    assert is_public(address) == public


def test_a_wildcard_can_never_be_proven_by_http(resolver):
    which = pack("*.example.com", "example.com", validation=Validation("http"))
    found = examined(lambda diagnoser: diagnoser.diagnose(which, FULL), resolver)
    assert names(found) == {("http_on_wildcard", "certain", "*.example.com")}


def test_dns_that_fails_for_the_host_is_no_missing_page(resolver):
    resolver.odd[f"{HOST} A"] = "servfail"
    assert ("dns_failure", "likely", HOST) in names(diagnose(HTTP, resolver, facts=FULL))


def test_that_dns_fails_for_the_host_is_still_seen_once_no_token_is_shown_any_more(resolver):
    timed_out = pack(HOST, validation=Validation("http"))
    pair = [Responder(resolver.records, {"example.com": "servfail"}) for _ in range(2)]
    assert ("dns_failure", "certain", HOST) in names(diagnose(timed_out, *pair, facts=FULL))


def test_nothing_is_said_of_pages_while_dns_works_and_no_token_is_shown(resolver):
    assert names(diagnose(pack(HOST, validation=Validation("http")), resolver, facts=FULL)) == set()


def test_pages_of_which_one_could_not_be_read_are_not_called_served(resolver):
    elsewhere = HttpToken("http://elsewhere.example/.well-known/pki-validation/t", "ca3-token")
    which = pack(HOST, status="pending_validation", validation=Validation("http", http_tokens=(TOKEN, elsewhere)))
    found, asked = visit(resolver, page("200 OK", b"ca3-token"), which)
    assert (names(found), len(asked)) == (set(), 1)
