#!/usr/bin/env bash
# One question that a name server drops makes Knot Resolver fail all others to that server for a second.
#
# VERSION Knot Resolver 5.6.0, unbound 1.17.1, BIND 9.18.49, PowerDNS Recursor 4.8.8 (Debian 12), as
#         they come; dnspython 2.9.2
# GUESS   A firewall that drops questions for CAA takes nothing else: once that question has failed, a
#         question for TXT at another name is answered at once, by all four.
# SEEN    So it is at three. Knot gives up on the CAA question after four seconds, and for about one
#         second from then on answers SERVFAIL to whatever would go to the same name server, without
#         asking, and without an extended error. After that all is well.
# HERE    Who asks for CAA and then for the token, as authorities and this project do, is told that
#         DNS fails for both, and looks for a dead name server, where one firewall rule is to blame.
set -eu
box=$(mktemp -d)
trap 'rm -rf "$box"' EXIT
export PATH="$PATH:/usr/sbin:/sbin"
version() { { "$@" || true; } 2>&1 | grep -oE '[0-9]+\.[0-9]+(\.[0-9]+)?' | head -n 1 || true; }
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
import dns.rcode
import dns.rdatatype
import dns.rrset

box = sys.argv[1]


def told(query):
    """What the name server says: to a question for CAA nothing at all."""
    name, kind = query.question[0].name, query.question[0].rdtype
    if kind == dns.rdatatype.CAA:
        return None
    answer = dns.message.make_response(query, recursion_available=True)
    answer.flags |= dns.flags.AA
    data = {dns.rdatatype.TXT: '"token"', dns.rdatatype.A: "127.0.0.1"}.get(kind)
    if data is not None:
        answer.answer = [dns.rrset.from_text(name, 300, "IN", kind, data)]
    else:
        soa = "ns.shop.test. hostmaster.shop.test. 1 3600 600 1209600 300"
        answer.authority = [dns.rrset.from_text("shop.test.", 300, "IN", "SOA", soa)]
    return answer


def serve(sock):
    while True:
        wire, asker = sock.recvfrom(4096)
        answer = told(dns.message.from_wire(wire))
        if answer is not None:
            sock.sendto(answer.to_wire(), asker)


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
 module-config: "iterator"
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
 recursion yes; dnssec-validation no; empty-zones-enable no; }};
controls {{ }};
""")
    knot = write("knot/conf", f"""net.listen('127.0.0.1', {ports["Knot"]})
for _, each in ipairs({{'ta_update', 'ta_signal_query', 'priming', 'detect_time_skew'}}) do
  modules.unload(each)
end
cache.size = 10 * MB
policy.add(policy.all(policy.FORWARD({{'127.0.0.1@{behind}'}})))
trust_anchors.remove('.')
""")
    write("powerdns/recursor.conf", f"""local-address=127.0.0.1
local-port={ports["PowerDNS"]}
socket-dir={box}/powerdns
forward-zones=.=127.0.0.1:{behind}
security-poll-suffix=
dont-query=
dnssec=off
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


def ask(port, name, kind, patience):
    query = dns.message.make_query(name, kind, use_edns=0)
    return dns.query.udp(query, "127.0.0.1", patience, port)


def code(answer):
    return dns.rcode.to_text(answer.rcode())


def look(name, port, seen):
    """What comes of one question for CAA, and of questions for TXT in the three seconds after it."""
    try:
        caa = code(ask(port, "host.shop.test", "CAA", 15))
    except dns.exception.Timeout:
        caa = "no answer in 15 s"
    failed, number, began = None, 0, time.monotonic()
    while time.monotonic() < began + 3:
        number += 1
        asked = time.monotonic()
        if code(ask(port, f"_acme-challenge.host{number}.shop.test", "TXT", 10)) != "NOERROR":
            failed = asked - began
        time.sleep(0.05)
    after = "well at once" if failed is None else f"SERVFAIL for {failed:.0f} s"
    seen[name] = f"CAA: {caa}; TXT at other names: {after}"


servers = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
servers.bind(("127.0.0.1", 0))
threading.Thread(target=serve, args=(servers,), daemon=True).start()
ports = {name: free_port() for name in ("unbound", "BIND", "Knot", "PowerDNS")}
with open(f"{box}/resolvers.log", "w") as log, contextlib.ExitStack() as stack:
    for command in commands(servers.getsockname()[1], ports).values():
        process = subprocess.Popen(command, stdout=log, stderr=log)
        stack.callback(process.wait, 10)
        stack.callback(process.terminate)
    for name, port in ports.items():
        last = time.monotonic() + 15
        while True:
            with contextlib.suppress(dns.exception.Timeout, OSError):
                if ask(port, "ns.shop.test", "A", 1).answer:
                    break
            if time.monotonic() > last:
                raise SystemExit(f"{name} does not answer")
            time.sleep(0.1)
    seen = {}
    looks = [threading.Thread(target=look, args=(*each, seen)) for each in ports.items()]
    for each in looks:
        each.start()
    for each in looks:
        each.join()
    for name in ports:
        print(f"{name}: {seen.get(name)}")
END
)
expected="unbound: CAA: no answer in 15 s; TXT at other names: well at once
BIND: CAA: SERVFAIL; TXT at other names: well at once
Knot: CAA: SERVFAIL; TXT at other names: SERVFAIL for 1 s
PowerDNS: CAA: SERVFAIL; TXT at other names: well at once"
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
  printf 'CHANGED; it was:\n%s\n' "$expected"
  exit 1
fi
echo "as found"
