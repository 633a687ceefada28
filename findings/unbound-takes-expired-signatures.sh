#!/usr/bin/env bash
# unbound calls signatures good for up to a day after they have expired, and before they begin.
#
# VERSION unbound 1.17.1, BIND 9.18.49, Knot Resolver 5.6.0, PowerDNS Recursor 4.8.8 (Debian 12), as
#         they come; dnspython 2.9.2 for the zones, signed for 30 days
# GUESS   A signature is bogus at all four from the moment at which it expires, give or take minutes
#         for clocks that differ; likewise before it begins.
# SEEN    So it is at three. unbound allows for a tenth of the signature's life, an hour at least and
#         a day at most (val-sig-skew-min, -max): until then it answers, and vouches for it (AD).
# HERE    A zone whose signing stands still is broken for most of the world, and for certificate
#         authorities among them, a day before who asks unbound sees it. Where resolvers disagree
#         on signatures, the one that complains is right.
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

RECORDS = """@ 60 SOA ns hostmaster 1 3600 600 1209600 60
@ 60 NS ns
ns 60 A 127.0.0.1
@ 60 CAA 0 issue "ca.test"
"""

box = sys.argv[1]
APEX = dns.name.from_text("shop.test")
NOW = datetime.datetime.now(datetime.timezone.utc)
HOUR, LIFE = datetime.timedelta(hours=1), datetime.timedelta(days=30)
key = ec.generate_private_key(ec.SECP256R1())
dnskey = dns.dnssec.make_dnskey(key.public_key(), dns.dnssec.Algorithm.ECDSAP256SHA256, flags=257)
ds = str(dns.dnssec.make_ds(APEX, dnskey, "SHA256"))
zone = None


def signed(inception):
    made = dns.zone.from_text(RECORDS, origin=APEX, relativize=False)
    keys, ends = [(key, dnskey)], inception + LIFE
    dns.dnssec.sign_zone(made, keys=keys, inception=inception, expiration=ends)
    return made


def records(name, kind):
    """The record set of a name with its signature."""
    found = (zone.get_rrset(name, kind), zone.get_rrset(name, "RRSIG", covers=kind))
    return [each for each in found if each is not None]


def told(query):
    """What an authoritative server says. Only names and types that are there are asked for here."""
    answer = dns.message.make_response(query)
    answer.flags |= dns.flags.AA
    answer.answer = records(query.question[0].name, query.question[0].rdtype)
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
forward-zones-recurse=.=127.0.0.1:{behind}
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
            last = time.monotonic() + 30
            while True:
                with contextlib.suppress(dns.exception.Timeout, OSError):
                    ask(port, "ns.shop.test", "A", dns.flags.AD, patience=3)
                    break
                if time.monotonic() > last:
                    raise SystemExit(f"{name} does not answer")
                time.sleep(0.1)
        yield ports


BEGINS = {
    "valid": NOW - HOUR - LIFE / 2,
    "expired 20 h ago": NOW - 20 * HOUR - LIFE,
    "expired 30 h ago": NOW - 30 * HOUR - LIFE,
    "valid in 20 h": NOW + 20 * HOUR,
}
below = box
for number, (what, begins) in enumerate(BEGINS.items()):
    zone, box = signed(begins), f"{below}/{number}"
    os.mkdir(box)
    with resolvers() as ports:
        said = []
        for name, port in ports.items():
            answer = ask(port, "shop.test", "CAA", dns.flags.AD)
            good = " AD" if answer.flags & dns.flags.AD else ""
            said.append(f"{name} {dns.rcode.to_text(answer.rcode())}{good}")
    print(f"{what}: {', '.join(said)}", flush=True)
END
)
others="BIND SERVFAIL, Knot SERVFAIL, PowerDNS SERVFAIL"
expected="valid: unbound NOERROR AD, BIND NOERROR AD, Knot NOERROR AD, PowerDNS NOERROR AD
expired 20 h ago: unbound NOERROR AD, $others
expired 30 h ago: unbound SERVFAIL, $others
valid in 20 h: unbound NOERROR AD, $others"
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
  printf 'CHANGED; it was:\n%s\n' "$expected"
  exit 1
fi
echo "as found"
