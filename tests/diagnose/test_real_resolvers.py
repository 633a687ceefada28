"""Against a real validating resolver (unbound) in front of a real name server (nsd), with zones signed and broken."""

import asyncio
import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import dns.message
import dns.query
import pytest

from tests.harness.dns import NOW, TXT, names, pack
from watchdog.diagnose.diagnoser import PackDiagnoser
from watchdog.model.findings import Finding
from watchdog.model.packs import ManualRecord, ZoneFacts

PROGRAMS = ("nsd", "unbound", "ldns-keygen", "ldns-signzone")
MISSING = [name for name in PROGRAMS if not shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")]
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)} (Debian: nsd unbound ldnsutils)"),
]
HEAD = "$TTL 1\n@ SOA ns.{zone}. a.{zone}. 1 1h 1h 1h 1\n@ NS ns\nns A 127.0.0.1\n@ A 192.0.2.1\nwww A 192.0.2.1\n"
DELEGATION = "www.good.test.0123456789abcdef.dcv.cloudflare.com"
ZONES = {
    "good.test": '@ CAA 0 issue "letsencrypt.org"\n@ CAA 0 issuewild ";"\n'
    f"_acme-challenge.www CNAME {DELEGATION}.\n"
    "loop CNAME pool\npool CNAME loop\nalias CNAME caa.test.\n"
    "cut NS ns.nowhere.test.\n_acme-challenge.two TXT one\n_acme-challenge.two TXT two\nmany A 192.0.2.1\n"
    + "".join(f'_acme-challenge.many TXT "{n:03}{"x" * 200}"\n' for n in range(40)),
    "caa.test": '@ CAA 0 issue "pki.goog; cansignhttpexchanges=yes"\n',
    "dcv.cloudflare.com": "",
    "bogus.test": "",
    "old.test": "",
}
FAULTY = {"bogus.test": [], "old.test": ["-i", "20250101", "-e", "20250201"]}


def free_port() -> int:
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def write_zones(folder: Path) -> None:
    for zone, records in ZONES.items():
        file = folder / f"{zone}.zone"
        file.write_text(HEAD.format(zone=zone) + records)
        key = run(folder, "ldns-keygen", "-a", "ECDSAP256SHA256", "-k", zone).strip()
        run(folder, "ldns-signzone", "-o", zone, *FAULTY.get(zone, []), file.name, key)
        signed = folder / f"{zone}.zone.signed"
        if zone == "bogus.test":
            signed.write_text("\n".join(corrupted(line) for line in signed.read_text().splitlines()) + "\n")
        shutil.copy(folder / f"{key}.ds", folder / f"{zone}.ds")


def corrupted(line: str) -> str:
    """A signature whose end was changed."""
    return line[:-8] + "AAAAAAA=" if "\tRRSIG\t" in line and line.endswith("==") else line


def run(folder: Path, *command: str) -> str:
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=30).stdout


@pytest.fixture(scope="module")
def resolver(tmp_path_factory) -> Iterator[tuple[str, int]]:
    folder = tmp_path_factory.mktemp("dns")
    folder.chmod(0o755)
    write_zones(folder)
    behind, front = free_port(), free_port()
    listed = "".join(f'zone:\n name: "{zone}"\n zonefile: "{folder}/{zone}.zone.signed"\n' for zone in ZONES)
    (folder / "nsd.conf").write_text(
        f'server:\n ip-address: 127.0.0.1@{behind}\n username: ""\n zonesdir: "{folder}"\n database: ""\n'
        f' pidfile: "{folder}/nsd.pid"\n xfrdfile: "{folder}/xfrd"\n zonelistfile: "{folder}/zones"\n'
        f"remote-control:\n control-enable: no\n{listed}"
        f'zone:\n name: "lame.test"\n zonefile: "{folder}/absent"\n'
    )
    stubs = "".join(
        f'stub-zone:\n name: "{zone}"\n stub-addr: 127.0.0.1@{behind}\n stub-no-cache: yes\n'
        for zone in (*ZONES, "lame.test")
    )
    anchors = "".join(f' trust-anchor-file: "{folder}/{zone}.ds"\n' for zone in ZONES)
    (folder / "unbound.conf").write_text(
        f'server:\n interface: 127.0.0.1@{front}\n username: ""\n chroot: ""\n directory: "{folder}"\n pidfile: ""\n'
        " do-not-query-localhost: no\n do-daemonize: no\n ede: yes\n cache-max-ttl: 0\n cache-max-negative-ttl: 0\n"
        f' module-config: "validator iterator"\n{anchors}'
        ' local-zone: "test." static\n local-zone: "gone.test." always_nxdomain\n'
        ' local-zone: "mute.test." deny\n local-zone: "shut.test." always_refuse\n'
        ' local-zone: "." static\n'
        + "".join(f' local-zone: "{zone}." transparent\n' for zone in (*ZONES, "lame.test"))
        + f"remote-control:\n control-enable: no\n{stubs}"
    )
    commands = (["nsd", "-d", "-c", "nsd.conf"], ["unbound", "-d", "-c", "unbound.conf"])
    with contextlib.ExitStack() as stack:
        log = stack.enter_context((folder / "log").open("w"))
        for command in commands:
            process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
            stack.callback(process.wait, 10)
            stack.callback(process.terminate)
        wait_until_it_answers(front, folder)
        yield ("127.0.0.1", front)


def wait_until_it_answers(port: int, folder: Path) -> None:
    last = time.monotonic() + 20
    while time.monotonic() < last:
        with contextlib.suppress(Exception):
            answer = dns.query.udp(dns.message.make_query("www.good.test", "A"), "127.0.0.1", 0.5, port)
            if answer.answer:
                return
    pytest.fail(f"no answer:\n{(folder / 'log').read_text()[-2000:]}")


@pytest.fixture
def look(resolver):
    def looked(*hosts: str, zone: str = "", kind: str = "full", **more: object) -> tuple[Finding, ...]:
        async def story() -> tuple[Finding, ...]:
            diagnoser = PackDiagnoser([resolver], timedelta(seconds=2), now=lambda: NOW)
            facts = ZoneFacts(name=zone, type=kind, status="active", delegation="0123456789abcdef")
            found = await diagnoser.diagnose(pack(*hosts, **more), facts)
            await diagnoser.close()
            return found

        return asyncio.run(story())

    return looked


def test_caa_of_a_signed_zone_allows_the_host_and_forbids_the_wildcard(look):
    found = look("www.good.test", "*.www.good.test", zone="good.test")
    assert names(found) == {("caa_forbids", "certain", "*.www.good.test")}


def test_caa_of_the_parent_decides_for_one_authority_and_against_the_other(look):
    assert names(look("www.caa.test", zone="caa.test")) == {("caa_forbids", "certain", "www.caa.test")}
    assert look("www.caa.test", zone="caa.test", ca="google") == ()


def test_caa_is_followed_through_an_alias_into_another_zone(look):
    found = look("alias.good.test", zone="good.test")
    assert names(found) == {("caa_forbids", "certain", "alias.good.test")}


def test_a_name_that_other_servers_were_given_fails_and_is_not_empty(look):
    found = {one.name.value for one in look("cut.good.test", zone="good.test")}
    assert found & {"dns_failure", "dns_timeout"}
    assert "delegation_missing" not in found


def test_a_delegation_into_nowhere_yet_is_well_and_another_target_is_not(look):
    assert look("www.good.test", zone="good.test", kind="partial") == ()


@pytest.mark.parametrize("zone", ["bogus.test", "old.test"])
def test_broken_signatures_are_told_apart_from_a_failing_server(look, zone):
    found = {one.name.value for one in look(f"www.{zone}", zone=zone, kind="partial")}
    assert found == {"dnssec_bogus"}


def test_a_lame_delegation_is_a_failure_of_dns_and_no_missing_record(look):
    found = {one.name.value for one in look("www.lame.test", zone="lame.test", kind="partial")}
    assert found == {"caa_unreachable", "dns_failure"}


def test_a_refusal_is_a_failure_of_dns(look):
    assert {"caa_unreachable", "dns_failure"} == {one.name.value for one in look("www.shut.test", zone="shut.test")}


def test_a_domain_that_does_not_answer_is_not_a_resolver_that_does_not(look):
    assert names(look("www.mute.test", zone="mute.test")) == {("dns_timeout", "hint", "www.mute.test")}


def test_a_domain_that_is_gone_is_certain(look):
    assert ("host_missing", "certain", "www.gone.test") in names(look("www.gone.test", zone="gone.test"))


def test_aliases_in_a_circle_are_a_fault_of_dns(look):
    found = {one.name.value for one in look("loop.good.test", zone="good.test")}
    assert found & {"cname_loop", "caa_unreachable"}


def test_both_tokens_of_ssl_com_are_seen(look):
    tokens = tuple(ManualRecord("TXT", "_acme-challenge.two.good.test", value) for value in ("one", "two"))
    waiting = {"status": "pending_validation", "validation": replace(TXT, tokens=tokens)}
    found = look("two.good.test", zone="good.test", kind="partial", **waiting)
    assert ("tokens_placed", "certain", "") in names(found)


def test_an_answer_too_long_for_one_packet_is_fetched_by_tcp(look):
    found = look("many.good.test", zone="good.test", kind="partial")
    assert names(found) == {("txt_shadows_delegation", "likely", "many.good.test")}
