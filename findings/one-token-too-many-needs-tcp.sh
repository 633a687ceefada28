#!/usr/bin/env bash
# Where TCP to a name server is blocked, old tokens that pile up at one name make its answer fail one
# day: two resolvers need twelve seconds to say so, and one of them says nothing for twenty.
#
# VERSION unbound 1.17.1, BIND 9.18.49, Knot Resolver 5.6.0, PowerDNS Recursor 4.8.8 (Debian 12), as
#         they come; dnspython 2.9.2 for the zone, which is not signed
# GUESS   Up to 1,232 bytes, about twenty tokens, all is well. With more the resolver turns to TCP, gets
#         no connection or no answer, and says SERVFAIL: all four of them, well within ten seconds.
# SEEN    Where TCP is refused it is so. Where a firewall is silent, PowerDNS says SERVFAIL after one or
#         two seconds, BIND and Knot after twelve, and unbound nothing in twenty. Any other question
#         for the same name is answered at once.
# HERE    Each restart brings a token, and nobody takes the old ones off. Then the name seems to have a
#         dead name server, to who waits five seconds (dig does) a silent resolver, and nothing was
#         changed but one more record of the usual kind. Take the old records off, or open port 53 for
#         TCP.
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
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.zone

below = sys.argv[1]
APEX = dns.name.from_text("shop.test")
FEW, MANY = "_acme-challenge.few", "_acme-challenge.many"
RECORDS = """@ 300 SOA ns hostmaster 1 3600 600 86400 300
@ 300 NS ns
ns 300 A 127.0.0.1
"""
for each, count in {FEW: 15, MANY: 25}.items():
    for number in range(count):
        RECORDS += f'{each} 300 TXT "{number:02}aGxfADs6pSRb2LAv9IZf17Dt3juxGJ0yA1p9XR0kEvG"\n'
zone = dns.zone.from_text(RECORDS, origin=APEX, relativize=False)
connections = []


def told(query):
    """What the authoritative server says by UDP."""
    answer = dns.message.make_response(query)
    answer.flags |= dns.flags.AA
    name, kind = query.question[0].name, query.question[0].rdtype
    found = zone.get_rrset(name, kind)
    if not name.is_subdomain(APEX):
        answer.set_rcode(dns.rcode.REFUSED)
    elif found is not None:
        answer.answer = [found]
    else:
        if zone.get_node(name) is None:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        answer.authority = [zone.get_rrset(APEX, "SOA")]
    wire = answer.to_wire(max_size=65535)
    if len(wire) > (query.payload if query.edns >= 0 else 512):
        short = dns.message.make_response(query)
        short.flags |= dns.flags.AA | dns.flags.TC
        return short.to_wire()
    return wire


def serve(sock):
    while True:
        wire, asker = sock.recvfrom(4096)
        sock.sendto(told(dns.message.from_wire(wire)), asker)


def stay_silent(listener):
    """Take connections, and say nothing."""
    while True:
        connections.append(listener.accept()[0])


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
stub-zone:
 name: "shop.test"
 stub-addr: 127.0.0.1@{behind}
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


def ask(port, name, kind, patience=20):
    query = dns.message.make_query(f"{name}.shop.test", kind, use_edns=0, payload=4096)
    return dns.query.udp(query, "127.0.0.1", patience, port)


def shown(port, name, kind):
    began = time.monotonic()
    try:
        answer = ask(port, name, kind)
    except dns.exception.Timeout:
        return "nothing in 20 s"
    if answer.rcode() != dns.rcode.NOERROR:
        late = "after ten seconds" if time.monotonic() - began > 10 else "soon"
        return f"{dns.rcode.to_text(answer.rcode())} {late}"
    return f"{sum(map(len, answer.answer))} records"


@contextlib.contextmanager
def resolvers(behind):
    """The port of each resolver, all of them running."""
    ports = {name: free_port() for name in ("unbound", "BIND", "Knot", "PowerDNS")}
    with open(f"{box}/resolvers.log", "w") as log, contextlib.ExitStack() as stack:
        for command in commands(behind, ports).values():
            process = subprocess.Popen(command, stdout=log, stderr=log)
            stack.callback(process.wait, 10)
            stack.callback(process.terminate)
        for name, port in ports.items():
            last = time.monotonic() + 15
            while True:
                with contextlib.suppress(dns.exception.Timeout, OSError):
                    if ask(port, "ns", "A", patience=1).answer:
                        break
                if time.monotonic() > last:
                    raise SystemExit(f"{name} does not answer")
                time.sleep(0.1)
        yield ports


for number, what in enumerate(("refused", "silent")):
    box = f"{below}/{number}"
    os.mkdir(box)
    port = free_port()
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", port))
    threading.Thread(target=serve, args=(udp,), daemon=True).start()
    if what == "silent":
        tcp = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=stay_silent, args=(tcp,), daemon=True).start()
    with resolvers(port) as ports:
        for name, port in ports.items():
            few, many = shown(port, FEW, "TXT"), shown(port, MANY, "TXT")
            time.sleep(3)
            other = shown(port, MANY, "CNAME")
            print(f"TCP {what}, {name}: 15 tokens: {few}; 25: {many}; CNAME there: {other}", flush=True)
END
)
few="15 tokens: 15 records; 25:"
rest="CNAME there: 0 records"
expected="TCP refused, unbound: $few SERVFAIL soon; $rest
TCP refused, BIND: $few SERVFAIL soon; $rest
TCP refused, Knot: $few SERVFAIL soon; $rest
TCP refused, PowerDNS: $few SERVFAIL soon; $rest
TCP silent, unbound: $few nothing in 20 s; $rest
TCP silent, BIND: $few SERVFAIL after ten seconds; $rest
TCP silent, Knot: $few SERVFAIL after ten seconds; $rest
TCP silent, PowerDNS: $few SERVFAIL soon; $rest"
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
  printf 'CHANGED; it was:\n%s\n' "$expected"
  exit 1
fi
echo "as found"
