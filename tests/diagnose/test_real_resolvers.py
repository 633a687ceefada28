"""Against real validating resolvers in front of a real name server (nsd), with zones signed and broken.

unbound is asked everything; BIND, Knot Resolver and PowerDNS Recursor what they are known to answer differently.
"""

import asyncio
import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import dns.message
import dns.query
import pytest

from tests.harness.dns import NOW, TXT, names, pack
from tests.harness.values import replace
from watchdog.diagnose.diagnoser import PackDiagnoser
from watchdog.model.findings import Finding
from watchdog.model.packs import ManualRecord, ZoneFacts

PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
PROGRAMS = ("nsd", "unbound", "ldns-keygen", "ldns-signzone")
MISSING = [name for name in PROGRAMS if not shutil.which(name, path=PATH)]
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)} (Debian: nsd unbound ldnsutils)"),
]
OTHERS = {"named": "bind9", "kresd": "knot-resolver", "pdns_recursor": "pdns-recursor"}
"""Programs that are asked besides unbound, by the Debian package each comes from."""
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
    "renamed.test": "old DNAME good.test.\n"
    + "".join(f"n{n} CNAME n{n + 1}\n" for n in range(1, 20))
    + "n20 A 192.0.2.1\ndead CNAME gone.nowhere.test.\n",
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


def served_by_named(folder: Path, front: int, behind: int) -> list[str]:
    anchors = "".join(
        f' "{zone}" static-ds {tag} {algorithm} {kind} "{digest}";\n'
        for zone, (tag, algorithm, kind, digest) in anchored(folder)
    )
    (folder / "named.conf").write_text(
        f'options {{ directory "{folder}"; listen-on port {front} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};\n'
        f" recursion yes; forward only; forwarders {{ 127.0.0.1 port {behind}; }}; empty-zones-enable no;\n"
        " pid-file none; session-keyfile none; dnssec-validation yes; max-cache-ttl 1; max-ncache-ttl 1; };\n"
        f"controls {{ }};\ntrust-anchors {{\n{anchors}}};\n"
    )
    return ["named", "-f", "-n", "1", "-c", str(folder / "named.conf")]


def served_by_kresd(folder: Path, front: int, behind: int) -> list[str]:
    anchors = "".join(f"trust_anchors.add('{zone}. DS {' '.join(parts)}')\n" for zone, parts in anchored(folder))
    (folder / "kresd.conf").write_text(
        f"net.listen('127.0.0.1', {front})\ntrust_anchors.remove('.')\n{anchors}"
        f"policy.add(policy.all(policy.FORWARD({{'127.0.0.1@{behind}'}})))\n"
        "cache.size = 1 * MB\ncache.min_ttl(0)\ncache.max_ttl(2)\n"
    )
    (folder / "kresd").mkdir()
    return ["kresd", "-n", "-c", str(folder / "kresd.conf"), str(folder / "kresd")]


def served_by_pdns_recursor(folder: Path, front: int, behind: int) -> list[str]:
    anchors = "".join(f'addTA("{zone}", "{" ".join(parts)}")\n' for zone, parts in anchored(folder))
    (folder / "anchors.lua").write_text(f"clearTA()\n{anchors}")
    (folder / "pdns").mkdir()
    (folder / "recursor.conf").write_text(
        f"local-address=127.0.0.1\nlocal-port={front}\nsocket-dir={folder}/pdns\ndaemon=no\ndisable-syslog=yes\n"
        f"forward-zones-recurse=.=127.0.0.1:{behind}\nlua-config-file={folder}/anchors.lua\npacketcache-ttl=0\n"
        "max-cache-ttl=15\nmax-negative-ttl=1\nserve-rfc1918=no\nthreads=1\nsetuid=\nsetgid=\n"
        "extended-resolution-errors=yes\nquery-local-address=127.0.0.1\ndont-query=\n"
    )
    return ["pdns_recursor", f"--config-dir={folder}"]


def anchored(folder: Path) -> list[tuple[str, list[str]]]:
    """Each zone with the parts of its DS record: tag, algorithm, kind of digest, digest."""
    return [(zone, (folder / f"{zone}.ds").read_text().split("\tDS\t")[1].split()[:4]) for zone in ZONES]


SERVED = {"named": served_by_named, "kresd": served_by_kresd, "pdns_recursor": served_by_pdns_recursor}


@pytest.fixture(scope="module")
def zones(tmp_path_factory) -> Iterator[tuple[Path, int]]:
    """A folder with the signed zones, and the port of the name server that has them."""
    folder = tmp_path_factory.mktemp("dns")
    folder.chmod(0o755)
    write_zones(folder)
    behind = free_port()
    listed = "".join(f'zone:\n name: "{zone}"\n zonefile: "{folder}/{zone}.zone.signed"\n' for zone in ZONES)
    (folder / "nsd.conf").write_text(
        f'server:\n ip-address: 127.0.0.1@{behind}\n username: ""\n zonesdir: "{folder}"\n database: ""\n'
        f' pidfile: "{folder}/nsd.pid"\n xfrdfile: "{folder}/xfrd"\n zonelistfile: "{folder}/zones"\n'
        f"remote-control:\n control-enable: no\n{listed}"
        f'zone:\n name: "lame.test"\n zonefile: "{folder}/absent"\n'
    )
    with running(folder, ["nsd", "-d", "-c", "nsd.conf"], behind):
        yield folder, behind


@contextlib.contextmanager
def running(folder: Path, command: list[str], port: int) -> Iterator[None]:
    with (folder / f"{command[0]}.log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        try:
            wait_until_it_answers(port, folder / f"{command[0]}.log")
            yield
        finally:
            process.terminate()
            process.wait(10)


@pytest.fixture(scope="module")
def resolver(zones) -> Iterator[tuple[str, int]]:
    folder, behind = zones
    front = free_port()
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
    with running(folder, ["unbound", "-d", "-c", "unbound.conf"], front):
        yield ("127.0.0.1", front)


@pytest.fixture(scope="module", params=["unbound", *OTHERS])
def any_resolver(request, zones) -> Iterator[tuple[str, int]]:
    if request.param == "unbound":
        yield request.getfixturevalue("resolver")
        return
    if not shutil.which(request.param, path=PATH):
        pytest.skip(f"not installed: {request.param} (Debian: {OTHERS[request.param]})")
    folder, behind = zones
    front = free_port()
    with running(folder, SERVED[request.param](folder, front, behind), front):
        yield ("127.0.0.1", front)


def wait_until_it_answers(port: int, log: Path) -> None:
    last = time.monotonic() + 20
    while time.monotonic() < last:
        with contextlib.suppress(Exception):
            answer = dns.query.udp(dns.message.make_query("www.good.test", "A"), "127.0.0.1", 0.5, port)
            if answer.answer:
                return
    pytest.fail(f"no answer:\n{log.read_text()[-2000:]}")


def looked_through(*resolvers: tuple[str, int]):
    def looked(*hosts: str, zone: str = "", kind: str = "full", **more: object) -> tuple[Finding, ...]:
        async def story() -> tuple[Finding, ...]:
            diagnoser = PackDiagnoser(resolvers, timedelta(seconds=4), now=lambda: NOW)
            facts = ZoneFacts(name=zone, type=kind, status="active", delegation="0123456789abcdef")
            found = await diagnoser.diagnose(pack(*hosts, **more), facts)
            await diagnoser.close()
            return found

        return asyncio.run(story())

    return looked


@pytest.fixture
def validating(request, any_resolver):
    if "pdns_recursor" in request.node.name:
        pytest.skip(
            "PowerDNS Recursor 4.8, where it forwards, recurses too deep at a broken signature and says SERVFAIL"
        )
    return any_resolver


@pytest.fixture
def look(resolver):
    return looked_through(resolver)


@pytest.fixture
def look_by_any(any_resolver):
    return looked_through(any_resolver)


def test_caa_of_a_signed_zone_allows_the_host_and_forbids_the_wildcard(look):
    found = look("www.good.test", "*.www.good.test", zone="good.test", status="pending_validation")
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
    assert look("www.good.test", zone="good.test", kind="partial", status="pending_validation") == ()


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


# ── what the resolvers answer differently ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("zone", ["bogus.test", "old.test"])
def test_every_resolver_tells_broken_signatures(validating, zone):
    look = looked_through(validating)
    assert names(look(f"www.{zone}", zone=zone)) == {("dnssec_bogus", "likely", f"www.{zone}")}


def test_every_resolver_shows_a_circle_of_aliases(look_by_any):
    found = {one.name.value: one for one in look_by_any("loop.good.test", zone="good.test")}
    assert "loop.good.test → pool.good.test → loop.good.test" in found["cname_loop"].says


def test_a_chain_of_twenty_aliases_is_called_too_long_or_followed_and_never_called_a_circle(look_by_any):
    found = {one.name.value: one.says for one in look_by_any("n1.renamed.test", zone="renamed.test")}
    assert "16 names or more" in found["cname_loop"]


def test_every_resolver_shows_what_is_below_a_dname_and_where_its_records_stand(look_by_any):
    found = look_by_any("two.old.renamed.test", zone="renamed.test", kind="partial")
    text = next(one for one in found if one.name == "txt_shadows_delegation")
    assert "lies below the DNAME record of old.renamed.test" in text.says
    assert text.record is not None
    assert text.record.name == "_acme-challenge.two.good.test"


def test_two_of_different_kinds_make_broken_signatures_certain(resolver, validating):
    if resolver == validating:
        pytest.skip("one resolver is no two witnesses")
    look = looked_through(resolver, validating)
    assert names(look("www.bogus.test", zone="bogus.test")) == {("dnssec_bogus", "certain", "www.bogus.test")}
