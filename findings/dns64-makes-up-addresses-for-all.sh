#!/usr/bin/env bash
# Behind a resolver with DNS64 a host has an IPv6 address that nobody else sees, whatever one asks
# for.
#
# VERSION unbound 1.17.1, BIND 9.18.49, Knot Resolver 5.6.0, PowerDNS Recursor 4.8.8 (Debian 12),
#         each with its DNS64 on; dnspython 2.9.2 for the zone, which is not signed
# GUESS   An AAAA record is made of the A record for plain questions. Who sets CD, or CD and DO,
#         checks signatures himself and gets what is there: nothing (RFC 6147, 5.5).
# SEEN    unbound and Knot do so where CD is set. BIND and PowerDNS make the record up for all
#         questions. Nothing in the answer tells it from a real one, but for the prefix 64:ff9b::/96
#         where that is used.
# HERE    Networks and clusters of IPv6 alone have such resolvers. Certificate authorities have not:
#         to say that the host's IPv6 address is wrong, unreachable or private, when a page is to be
#         read at it, is to speak of an address that no authority will ask.
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
  dnspython==2.9.2; } >"$box/log" 2>&1; then
  echo "cannot be had: dnspython 2.9.2 could not be installed"
  exit 77
fi
seen=$("$box/v/bin/python" - "$box" <<'END'
import contextlib
import os
import socket
import subprocess
import sys
import threading
import time

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rdatatype
import dns.rrset

box = sys.argv[1]
SOA = dns.rrset.from_text("shop.test.", 60, "IN", "SOA", "ns.test. h.test. 1 3600 600 86400 60")


def told(query):
    """What an authoritative server says: each host has an A record, and no other."""
    answer = dns.message.make_response(query)
    answer.flags |= dns.flags.AA
    name, kind = query.question[0].name, query.question[0].rdtype
    if kind == dns.rdatatype.A:
        answer.answer = [dns.rrset.from_text(name, 60, "IN", "A", "192.0.2.7")]
    elif kind == dns.rdatatype.SOA:
        answer.answer = [SOA]
    else:
        answer.authority = [SOA]
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
    """How each resolver is started: it asks nobody but ``behind``."""
    unbound = write("unbound/conf", f"""server:
 interface: 127.0.0.1@{ports["unbound"]}
 username: ""
 chroot: ""
 directory: "{box}/unbound"
 pidfile: ""
 do-not-query-localhost: no
 do-daemonize: no
 ede: yes
 module-config: "dns64 validator iterator"
 local-zone: "test." transparent
remote-control:
 control-enable: no
forward-zone:
 name: "."
 forward-addr: 127.0.0.1@{behind}
""")
    bind = write("bind/conf", f"""options {{
 directory "{box}/bind"; managed-keys-directory "{box}/bind"; pid-file none; session-keyfile none;
 listen-on port {ports["BIND"]} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};
 forward only; forwarders {{ 127.0.0.1 port {behind}; }};
 recursion yes; dnssec-validation no; empty-zones-enable no;
 dns64 64:ff9b::/96 {{ }}; }};
controls {{ }};
""")
    knot = write("knot/conf", f"""net.listen('127.0.0.1', {ports["Knot"]})
for _, each in ipairs({{'ta_update', 'ta_signal_query', 'priming', 'detect_time_skew'}}) do
  modules.unload(each)
end
cache.size = 10 * MB
policy.add(policy.all(policy.FORWARD({{'127.0.0.1@{behind}'}})))
trust_anchors.remove('.')
modules.load('dns64')
dns64.config('64:ff9b::')
""")
    write("powerdns/recursor.conf", f"""local-address=127.0.0.1
local-port={ports["PowerDNS"]}
socket-dir={box}/powerdns
forward-zones=.=127.0.0.1:{behind}
security-poll-suffix=
dont-query=
dnssec=off
dns64-prefix=64:ff9b::/96
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


HOW = {
    "plain": {},
    "AD": {"flag": dns.flags.AD},
    "DO": {"dnssec": True},
    "CD": {"flag": dns.flags.CD},
    "CD and DO": {"flag": dns.flags.CD, "dnssec": True},
}
with resolvers() as ports:
    for name, port in ports.items():
        made = []
        for how, options in HOW.items():
            answer = ask(port, "www.shop.test", "AAAA", **options).answer
            records = [str(each) for rrset in answer for each in rrset]
            made += [how] if records == ["64:ff9b::c000:207"] else []
        print(f"{name} makes an address up for: {', '.join(made)}")
END
)
expected="unbound makes an address up for: plain, AD, DO
BIND makes an address up for: plain, AD, DO, CD, CD and DO
Knot makes an address up for: plain, AD, DO
PowerDNS makes an address up for: plain, AD, DO, CD, CD and DO"
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
  printf 'CHANGED; it was:\n%s\n' "$expected"
  exit 1
fi
echo "as found"
