#!/usr/bin/env bash
# After a zone was signed anew, or a wrong DS record mended, PowerDNS Recursor goes on failing for as long
# as the zone's keys may be kept, up to an hour; the others for a minute at most.
#
# VERSION unbound 1.17.1, BIND 9.18.49, Knot Resolver 5.6.0, PowerDNS Recursor 4.8.8 (Debian 12), caches
#         as they come, all validating; dnspython 2.9.2 for the zones
# GUESS   What is bogus is not kept as records are. A zone signed anew is seen by Knot and BIND after
#         some seconds, by unbound and PowerDNS after a minute (val-bogus-ttl, packetcache-servfail-ttl).
#         A wrong DS record counts until its own time is over, and no longer, for all four.
# SEEN    Knot sees it at once, BIND after half a minute, unbound after one. PowerDNS keeps the zone's
#         keys, as bogus, for their own TTL, an hour at most (max-cache-bogus-ttl): until then a name
#         fails also where it is asked for the first time. Likewise where the DS record was wrong, long
#         after the right one is there.
# HERE    "Mended, and still SERVFAIL", by one resolver, is no reason to search on, and no proof of what
#         an authority sees. Ask another resolver, or make this one forget the zone ("rec_control
#         wipe-cache ZONE$").
set -eu
box=$(mktemp -d)
trap 'rm -rf "$box"' EXIT
export PATH="$PATH:/usr/sbin:/sbin"
version() { { "$@" || true; } 2>&1 | grep -oE '[0-9]+\.[0-9]+\.[0-9]+' | head -n 1 || true; }
had="$(version unbound -V) $(version named -V) $(version kresd -V)"
had="$had $(version pdns_recursor --version)"
if [ "$had" != "1.17.1 9.18.49 5.6.0 4.8.8" ]; then
  echo "cannot be had: unbound 1.17.1, BIND 9.18.49, Knot Resolver 5.6.0, PowerDNS Recursor 4.8.8"
  exit 77
fi
if ! { python3 -m venv "$box/v" && "$box/v/bin/pip" -q --disable-pip-version-check install \
  dnspython==2.9.2 cryptography==50.0.2; } >"$box/log" 2>&1; then
  echo "cannot be had: dnspython 2.9.2 and cryptography 50.0.2 could not be installed"
  exit 77
fi
seen=$("$box/v/bin/python" - "$box" <<'END'
import contextlib
import datetime
import os
import socket
import subprocess
import sys
import threading
import time

import dns.dnssec
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.zone
from cryptography.hazmat.primitives.asymmetric import ec

box = sys.argv[1]
NOW = datetime.datetime.now(datetime.timezone.utc)
DAY = datetime.timedelta(days=1)
ABOVE = dns.name.from_text("test")
RECORDS = """@ {ttl} SOA ns hostmaster 1 3600 600 1209600 300
@ {ttl} NS ns
ns {ttl} A 127.0.0.1
asked 20 CAA 0 issue "ca.test"
new0 20 CAA 0 issue "ca.test"
new1 20 CAA 0 issue "ca.test"
new2 20 CAA 0 issue "ca.test"
"""
DS_TTL = 20
KEY_TTL = {"expired": 3600, "brief": 30, "other": 3600}


def new_key():
    private = ec.generate_private_key(ec.SECP256R1())
    algorithm = dns.dnssec.Algorithm.ECDSAP256SHA256
    return private, dns.dnssec.make_dnskey(private.public_key(), algorithm, flags=257)


def ds_of(apex, key):
    return str(dns.dnssec.make_ds(apex, key[1], "SHA256"))


def signed(text, apex, key, ends=NOW + DAY):
    made = dns.zone.from_text(text, origin=apex, relativize=False)
    dns.dnssec.sign_zone(made, keys=[key], inception=ends - 30 * DAY, expiration=ends)
    return made


above, key, other = new_key(), new_key(), new_key()
ZONES = {each: dns.name.from_text(f"{each}.test") for each in KEY_TTL}


def state(mended):
    """All zones: two were signed long ago, the DS record of one is that of another key, or all is well."""
    text = "@ 3600 SOA ns hostmaster 1 3600 600 1209600 300\n@ 3600 NS ns\nns 3600 A 127.0.0.1\n"
    made = {}
    for each, apex in ZONES.items():
        wrong = each == "other" and not mended
        text += f"{each} 3600 NS ns.{each}\nns.{each} 3600 A 127.0.0.1\n"
        text += f"{each} {DS_TTL} DS {ds_of(apex, other if wrong else key)}\n"
        late = each != "other" and not mended
        wanted = RECORDS.replace("{ttl}", str(KEY_TTL[each]))  # the keys have the TTL of the SOA
        made[apex] = signed(wanted, apex, key, NOW - 10 * DAY if late else NOW + DAY)
    return {**made, ABOVE: signed(text, ABOVE, above)}


zones = state(mended=False)


def told(query):
    """What the authoritative server says. Only names that are there are asked for here."""
    answer = dns.message.make_response(query)
    answer.flags |= dns.flags.AA
    name, kind = query.question[0].name, query.question[0].rdtype
    apexes = [each for each in zones if name.is_subdomain(each)]
    if not apexes:
        answer.set_rcode(dns.rcode.REFUSED)
        return answer
    apex = max(apexes, key=len)
    if name == apex and kind == dns.rdatatype.DS:
        apex = ABOVE
    zone = zones[apex]

    def records(owner, rdtype):
        found = (zone.get_rrset(owner, rdtype), zone.get_rrset(owner, "RRSIG", covers=rdtype))
        return [each for each in found if each is not None]

    answer.answer = records(name, kind)
    if not answer.answer:
        answer.authority = records(apex, dns.rdatatype.SOA)
        owners = [each for each in zone.nodes if zone.get_rrset(each, "NSEC") and each <= name]
        answer.authority += records(max(owners), dns.rdatatype.NSEC)
    return answer


def serve(sock):
    while True:
        wire, asker = sock.recvfrom(4096)
        sock.sendto(told(dns.message.from_wire(wire)).to_wire(), asker)


def free_port():
    """One that is free for UDP and for TCP: servers want both."""
    with socket.create_server(("127.0.0.1", 0)) as tcp:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.bind(tcp.getsockname())
            return udp.getsockname()[1]


def write(path, text):
    os.makedirs(os.path.dirname(f"{box}/{path}"), exist_ok=True)
    with open(f"{box}/{path}", "w") as file:
        file.write(text)
    return f"{box}/{path}"


def commands(behind, ports):
    """How each resolver is started: it validates, and asks nobody but ``behind``."""
    ds = ds_of(ABOVE, above)
    tag, algorithm, digest, hashed = ds.split()
    anchor = write("unbound/anchor", f"test. IN DS {ds}\n")
    stubs = "".join(
        f"stub-zone:\n name: \"{each}\"\n stub-addr: 127.0.0.1@{behind}\n"
        for each in ("test", *(f"{each}.test" for each in KEY_TTL))
    )
    unbound = write("unbound/conf", f"""server:
 interface: 127.0.0.1@{ports["unbound"]}
 username: ""
 chroot: ""
 directory: "{box}/unbound"
 pidfile: ""
 do-not-query-localhost: no
 do-daemonize: no
 module-config: "validator iterator"
 local-zone: "test." transparent
 trust-anchor-file: "{anchor}"
remote-control:
 control-enable: no
{stubs}""")
    bind = write("bind/conf", f"""options {{
 directory "{box}/bind"; managed-keys-directory "{box}/bind"; pid-file none; session-keyfile none;
 listen-on port {ports["BIND"]} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};
 forward only; forwarders {{ 127.0.0.1 port {behind}; }};
 recursion yes; dnssec-validation yes; empty-zones-enable no; }};
controls {{ }};
trust-anchors {{ "test" static-ds {tag} {algorithm} {digest} "{hashed}"; }};
""")
    knot = write("knot/conf", f"""net.listen('127.0.0.1', {ports["Knot"]})
for _, each in ipairs({{'ta_update', 'ta_signal_query', 'priming', 'detect_time_skew'}}) do
  modules.unload(each)
end
cache.size = 10 * MB
policy.add(policy.all(policy.FORWARD({{'127.0.0.1@{behind}'}})))
trust_anchors.remove('.')
trust_anchors.add('test. 3600 IN DS {ds}')
""")
    anchor = write("powerdns/anchor", f'clearTA(".")\naddTA("test", "{ds}")\n')
    write("powerdns/recursor.conf", f"""local-address=127.0.0.1
local-port={ports["PowerDNS"]}
socket-dir={box}/powerdns
forward-zones=.=127.0.0.1:{behind}
security-poll-suffix=
dont-query=
dnssec=validate
lua-config-file={anchor}
setuid=
setgid=
""")
    return {
        "unbound": ["unbound", "-d", "-c", unbound],
        "BIND": ["named", "-g", "-c", bind],
        "Knot": ["kresd", "-n", "-q", "-c", knot, f"{box}/knot"],
        "PowerDNS": ["pdns_recursor", f"--config-dir={box}/powerdns", "--daemon=no"]
        + ["--write-pid=no"],
    }


def ask(port, name, kind, patience=15):
    query = dns.message.make_query(name, kind, use_edns=0)
    query.flags |= dns.flags.AD
    return dns.query.udp(query, "127.0.0.1", patience, port)


def wait_for(port):
    last = time.monotonic() + 30
    while time.monotonic() < last:
        with contextlib.suppress(dns.exception.Timeout, OSError):
            if ask(port, "ns.test", "A", patience=3).answer:
                return
        time.sleep(0.1)
    raise SystemExit("a server does not answer")


def failing(resolvers, number):
    """Which names fail: those asked for before, and new ones."""
    said = []
    for name, port in resolvers.items():
        names = [f"{host}.{zone}" for zone in KEY_TTL for host in ("asked", f"new{number}")]
        answers = {each: ask(port, f"{each}.test", "CAA").rcode() for each in names}
        bad = [each for each, rcode in answers.items() if rcode != dns.rcode.NOERROR]
        said.append(f"{name} {'all' if bad == names else ' '.join(bad) or 'none'}")
    return "; ".join(said)


authority = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
authority.bind(("127.0.0.1", 0))
threading.Thread(target=serve, args=(authority,), daemon=True).start()
ports = {name: free_port() for name in ("unbound", "BIND", "Knot", "PowerDNS")}
with open(f"{box}/resolvers.log", "w") as log, contextlib.ExitStack() as stack:
    for command in commands(authority.getsockname()[1], ports).values():
        process = subprocess.Popen(command, stdout=log, stderr=log)
        stack.callback(process.wait, 10)
        stack.callback(process.terminate)
    for port in ports.values():
        wait_for(port)
    print(f"broken: {failing(ports, 0)}", flush=True)
    zones, mended = state(mended=True), time.monotonic()
    for number, seconds in enumerate((40, 110), 1):
        time.sleep(mended + seconds - time.monotonic())
        print(f"mended {seconds} s ago: {failing(ports, number)}", flush=True)
    forget = ["rec_control", f"--socket-dir={box}/powerdns", "wipe-cache"]
    for each in KEY_TTL:
        subprocess.run([*forget, f"{each}.test$"], check=True, stdout=log, stderr=log)
    print(f"forgotten: {failing({'PowerDNS': ports['PowerDNS']}, 2)}")
END
)
well="BIND none; Knot none"
expected="broken: unbound all; BIND all; Knot all; PowerDNS all
mended 40 s ago: unbound all; $well; PowerDNS asked.expired new1.expired asked.brief asked.other new1.other
mended 110 s ago: unbound none; $well; PowerDNS asked.expired new2.expired asked.other new2.other
forgotten: PowerDNS none"
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
  printf 'CHANGED; it was:\n%s\n' "$expected"
  exit 1
fi
echo "as found"
