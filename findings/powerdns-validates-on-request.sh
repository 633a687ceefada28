#!/usr/bin/env bash
# PowerDNS Recursor, as it comes, validates for those who ask for it; a plain question shows nothing
# of a broken signature.
#
# VERSION PowerDNS Recursor 4.8.8, dnssec= not set; unbound 1.17.1, BIND 9.18.49 and Knot Resolver
#         5.6.0 beside it (Debian 12); dnspython 2.9.2 for the zone
# GUESS   A resolver that has DNSSEC on answers SERVFAIL to everybody where the signature of a
#         record does not fit.
# SEEN    The other three do. PowerDNS (mode "process", its default) answers a plain question (RD
#         alone) NOERROR with the record, and SERVFAIL to one that has AD or DO set.
# HERE    A diagnosis by plain questions sees CAA records and finds nothing wrong, where every
#         certificate authority sees a bogus answer and must not issue. AD costs nothing to set.
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
import dns.rdata
import dns.rdatatype
import dns.zone
from cryptography.hazmat.primitives.asymmetric import ec

RECORDS = """@ 300 SOA ns hostmaster 1 3600 600 86400 300
@ 300 NS ns
ns 300 A 127.0.0.1
sound 300 CAA 0 issue "ca.example"
broken 300 CAA 0 issue "ca.example"
"""
REFUSED = set()

box = sys.argv[1]
APEX = dns.name.from_text("shop.test")
NOW = datetime.datetime.now(datetime.timezone.utc)
DAY = datetime.timedelta(days=1)
key = ec.generate_private_key(ec.SECP256R1())
dnskey = dns.dnssec.make_dnskey(key.public_key(), dns.dnssec.Algorithm.ECDSAP256SHA256, flags=257)
ds = str(dns.dnssec.make_ds(APEX, dnskey, "SHA256"))
zone = dns.zone.from_text(RECORDS, origin=APEX, relativize=False)
dns.dnssec.sign_zone(zone, keys=[(key, dnskey)], inception=NOW - DAY, expiration=NOW + DAY)


def records(name, kind):
    """The record set of a name with its signature."""
    found = (zone.get_rrset(name, kind), zone.get_rrset(name, "RRSIG", covers=kind))
    return [each for each in found if each is not None]


def told(query):
    """What an authoritative server says."""
    answer = dns.message.make_response(query)
    answer.flags |= dns.flags.AA
    name, kind = query.question[0].name, query.question[0].rdtype
    if kind in REFUSED or not name.is_subdomain(APEX):
        answer.set_rcode(dns.rcode.REFUSED)
        return answer
    answer.answer = records(name, kind) or records(name, dns.rdatatype.CNAME)
    if not answer.answer:
        denials = [name]
        if zone.get_node(name) is None:
            answer.set_rcode(dns.rcode.NXDOMAIN)
            above = name.parent()
            while zone.get_node(above) is None:
                above = above.parent()
            denials.append(dns.name.from_text("*", above))
        answer.authority = records(APEX, dns.rdatatype.SOA)
        owners = sorted(owner for owner in zone.nodes if zone.get_rrset(owner, "NSEC"))
        for last in sorted({max(o for o in owners if o <= each) for each in denials}):
            answer.authority += records(last, dns.rdatatype.NSEC)
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
    tag, algorithm, digest, hashed = ds.split()
    anchor = write("unbound/anchor", f"shop.test. IN DS {ds}\n")
    unbound = write("unbound/conf", f"""server:
 interface: 127.0.0.1@{ports["unbound"]}
 username: ""
 chroot: ""
 directory: "{box}/unbound"
 pidfile: ""
 do-not-query-localhost: no
 do-daemonize: no
 ede: yes
 module-config: "validator iterator"
 local-zone: "test." transparent
 trust-anchor-file: "{anchor}"
remote-control:
 control-enable: no
forward-zone:
 name: "."
 forward-addr: 127.0.0.1@{behind}
stub-zone:
 name: "shop.test"
 stub-addr: 127.0.0.1@{behind}
""")
    bind = write("bind/conf", f"""options {{
 directory "{box}/bind"; managed-keys-directory "{box}/bind"; pid-file none; session-keyfile none;
 listen-on port {ports["BIND"]} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};
 forward only; forwarders {{ 127.0.0.1 port {behind}; }};
 recursion yes; dnssec-validation yes; empty-zones-enable no; }};
controls {{ }};
trust-anchors {{ "shop.test" static-ds {tag} {algorithm} {digest} "{hashed}"; }};
""")
    knot = write("knot/conf", f"""net.listen('127.0.0.1', {ports["Knot"]})
for _, each in ipairs({{'ta_update', 'ta_signal_query', 'priming', 'detect_time_skew'}}) do
  modules.unload(each)
end
cache.size = 10 * MB
policy.add(policy.all(policy.FORWARD({{'127.0.0.1@{behind}'}})))
trust_anchors.remove('.')
trust_anchors.add('shop.test. 3600 IN DS {ds}')
""")
    anchor = write("powerdns/anchor", f'clearTA(".")\naddTA("shop.test", "{ds}")\n')
    write("powerdns/recursor.conf", f"""local-address=127.0.0.1
local-port={ports["PowerDNS"]}
socket-dir={box}/powerdns
forward-zones=.=127.0.0.1:{behind}
security-poll-suffix=
dont-query=
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


def ask(port, name, kind, flag=0, dnssec=False, patience=15):
    query = dns.message.make_query(name, kind, use_edns=0, want_dnssec=dnssec)
    query.flags |= flag
    return dns.query.udp(query, "127.0.0.1", patience, port)


@contextlib.contextmanager
def resolvers():
    """The port of each resolver, all of them running."""
    authority = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    authority.bind(("127.0.0.1", 0))
    threading.Thread(target=serve, args=(authority,), daemon=True).start()
    ports = {name: free_port() for name in ("unbound", "BIND", "Knot", "PowerDNS")}
    with open(f"{box}/resolvers.log", "w") as log, contextlib.ExitStack() as stack:
        for command in commands(authority.getsockname()[1], ports).values():
            process = subprocess.Popen(command, stdout=log, stderr=log)
            stack.callback(process.wait, 10)
            stack.callback(process.terminate)
        for name, port in ports.items():
            last = time.monotonic() + 15
            while True:
                with contextlib.suppress(dns.exception.Timeout, OSError):
                    if ask(port, "ns.shop.test", "A", patience=1).answer:
                        break
                if time.monotonic() > last:
                    raise SystemExit(f"{name} does not answer")
                time.sleep(0.1)
        yield ports

forged = dns.rdata.from_text("IN", "CAA", '0 issue "other.example"')
zone.find_rdataset("broken.shop.test.", "CAA").add(forged)

with resolvers() as ports:
    for name, port in ports.items():
        for host in ("sound", "broken"):
            said = []
            for how, flag, dnssec in (
                ("plain", 0, False),
                ("AD", dns.flags.AD, False),
                ("DO", 0, True),
            ):
                answer = ask(port, f"{host}.shop.test", "CAA", flag, dnssec)
                said.append(f"{how} {dns.rcode.to_text(answer.rcode())}")
            print(f"{name}: {host}: {', '.join(said)}")
END
)
good="plain NOERROR, AD NOERROR, DO NOERROR"
bad="plain SERVFAIL, AD SERVFAIL, DO SERVFAIL"
expected="unbound: sound: $good
unbound: broken: $bad
BIND: sound: $good
BIND: broken: $bad
Knot: sound: $good
Knot: broken: $bad
PowerDNS: sound: $good
PowerDNS: broken: plain NOERROR, AD SERVFAIL, DO SERVFAIL"
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
  printf 'CHANGED; it was:\n%s\n' "$expected"
  exit 1
fi
echo "as found"
