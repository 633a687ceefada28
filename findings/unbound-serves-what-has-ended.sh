#!/usr/bin/env bash
# unbound with serve-expired answers first with what had ended, be it that a record was missing.
#
# VERSION unbound 1.17.1, BIND 9.18.49, Knot Resolver 5.6.0, PowerDNS Recursor 4.8.8 (Debian 12),
#         each set to serve what is stale; dnspython 2.9.2 for the zone
# GUESS   What has ended is served while the name servers cannot be reached (RFC 8767), and with the
#         extended error for it. A denial is not: it is asked for again once its time is over.
# SEEN    Three of the four do so. unbound gives the first who asks the old answer, whether it is a
#         record or NXDOMAIN (for this version however long ago it ended, says its manual), without
#         an extended error, and fetches the new one meanwhile: the second who asks gets that.
# HERE    A diagnosis that looks now and then is told how things were when it last looked: the token
#         is still missing, the wrong CAA record still there. It takes a second look to know.
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

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.rrset

box = sys.argv[1]
TOKEN = dns.name.from_text("_acme-challenge.shop.test")
SOA = dns.rrset.from_text("shop.test.", 2, "IN", "SOA", "ns.test. h.test. 1 3600 600 86400 2")
placed = False


def told(query):
    """What an authoritative server says; everything it says holds for two seconds."""
    answer = dns.message.make_response(query)
    answer.flags |= dns.flags.AA
    name, kind = query.question[0].name, query.question[0].rdtype
    if name == TOKEN and placed and kind == dns.rdatatype.TXT:
        answer.answer = [dns.rrset.from_text(name, 2, "IN", "TXT", "token")]
    elif kind == dns.rdatatype.A and name != TOKEN:
        answer.answer = [dns.rrset.from_text(name, 2, "IN", "A", "127.0.0.1")]
    elif kind == dns.rdatatype.SOA and name == SOA.name:
        answer.answer = [SOA]
    else:
        answer.set_rcode(dns.rcode.NXDOMAIN if name == TOKEN and not placed else dns.rcode.NOERROR)
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
 serve-expired: yes
 module-config: "validator iterator"
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
 stale-answer-enable yes; stale-cache-enable yes; }};
controls {{ }};
""")
    knot = write("knot/conf", f"""net.listen('127.0.0.1', {ports["Knot"]})
for _, each in ipairs({{'ta_update', 'ta_signal_query', 'priming', 'detect_time_skew'}}) do
  modules.unload(each)
end
cache.size = 10 * MB
policy.add(policy.all(policy.FORWARD({{'127.0.0.1@{behind}'}})))
trust_anchors.remove('.')
modules.load('serve_stale < cache')
""")
    write("powerdns/recursor.conf", f"""local-address=127.0.0.1
local-port={ports["PowerDNS"]}
socket-dir={box}/powerdns
forward-zones=.=127.0.0.1:{behind}
security-poll-suffix=
dont-query=
dnssec=off
serve-stale-extensions=10
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


def said(port):
    answer = ask(port, TOKEN, "TXT")
    errors = [int(each.code) for each in answer.options if each.otype == dns.edns.EDE]
    text = "the token" if answer.answer else dns.rcode.to_text(answer.rcode())
    return f"{text}, extended error {errors[0]}" if errors else text


def twice(what):
    for name, port in ports.items():
        first = said(port)
        time.sleep(0.5)
        print(f"{name}, {what}: {first}; then {said(port)}", flush=True)


with resolvers() as ports:
    twice("not placed")
    placed = True
    time.sleep(6)
    twice("placed 6 s ago")
    placed = False
    time.sleep(6)
    twice("taken off 6 s ago")
END
)
expected="unbound, not placed: NXDOMAIN; then NXDOMAIN
BIND, not placed: NXDOMAIN; then NXDOMAIN
Knot, not placed: NXDOMAIN; then NXDOMAIN
PowerDNS, not placed: NXDOMAIN; then NXDOMAIN
unbound, placed 6 s ago: NXDOMAIN; then the token
BIND, placed 6 s ago: the token; then the token
Knot, placed 6 s ago: the token; then the token
PowerDNS, placed 6 s ago: the token; then the token
unbound, taken off 6 s ago: the token; then NXDOMAIN
BIND, taken off 6 s ago: NXDOMAIN; then NXDOMAIN
Knot, taken off 6 s ago: NXDOMAIN; then NXDOMAIN
PowerDNS, taken off 6 s ago: NXDOMAIN; then NXDOMAIN"
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
  printf 'CHANGED; it was:\n%s\n' "$expected"
  exit 1
fi
echo "as found"
