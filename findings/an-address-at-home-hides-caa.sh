#!/usr/bin/env bash
# A resolver that is given another address for one host, "inside the house", has no CAA record of
# that host any more, and one of them nothing below the host either.
#
# VERSION unbound 1.17.1, BIND 9.18.49, Knot Resolver 5.6.0, PowerDNS Recursor 4.8.8, dnsmasq 2.90
#         (Debian 12); dnspython 2.9.2 for the outside
# GUESS   Only the address is replaced: a question for CAA at the host, and one for TXT at
#         _acme-challenge below it, is answered as outside by all of them. dnsmasq's
#         --address=/HOST/ is the one that speaks for everything below as well.
# SEEN    unbound (local-data), BIND and PowerDNS (response policy zone) and Knot (hints) say that the
#         host has no CAA record: NOERROR, nothing, and no SOA. PowerDNS (etc-hosts-file with
#         export-etc-hosts) makes a zone of the host: no CAA record, and NXDOMAIN for what is below
#         it, with the host as owner of the SOA. dnsmasq hands both on, whichever option it has.
# HERE    Split DNS is common where people run such a daemon. Diagnosed from there, CAA forbids
#         nothing, and with PowerDNS a token or delegation that stands in public DNS is missing.
#         Authorities look from outside: compare with a public resolver before anything is placed.
set -eu
box=$(mktemp -d)
trap 'rm -rf "$box"' EXIT
export PATH="$PATH:/usr/sbin:/sbin:$box/usr/sbin"
(cd "$box" && apt-get -q download dnsmasq-base libnftables1 libnftnl11 libnetfilter-conntrack3 \
  libnfnetlink0 libmnl0 libjansson4 libxtables12 && for each in ./*.deb; do dpkg-deb -x "$each" .
done) >"$box/log" 2>&1 || true
libraries=$box/usr/lib/x86_64-linux-gnu
version() { { "$@" || true; } 2>&1 | grep -oE '[0-9]+\.[0-9]+(\.[0-9]+)?' | head -n 1 || true; }
had="$(version unbound -V) $(version named -V) $(version kresd -V)"
had="$had $(version pdns_recursor --version) $(LD_LIBRARY_PATH=$libraries version dnsmasq -v)"
if [ "$had" != "1.17.1 9.18.49 5.6.0 4.8.8 2.90" ]; then
  echo "cannot be had: unbound 1.17.1, BIND 9.18.49, Knot Resolver 5.6.0, PowerDNS Recursor 4.8.8,"
  echo "and dnsmasq 2.90 (Debian 12, amd64)"
  exit 77
fi
if ! { python3 -m venv "$box/v" && "$box/v/bin/pip" -q --disable-pip-version-check install \
  dnspython==2.9.2; } >"$box/log" 2>&1; then
  echo "cannot be had: dnspython 2.9.2 could not be installed"
  exit 77
fi
seen=$("$box/v/bin/python" - "$box" "$libraries" <<'END'
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

box, libraries = sys.argv[1:]
HOST, BELOW = "host.shop.test.", "_acme-challenge.host.shop.test."
SOA = "ns.shop.test. hostmaster.shop.test. 1 3600 600 1209600 300"
OUTSIDE = {
    ("shop.test.", "SOA"): SOA,
    ("shop.test.", "NS"): "ns.shop.test.",
    ("ns.shop.test.", "A"): "127.0.0.1",
    (HOST, "A"): "192.0.2.1",
    (HOST, "CAA"): '0 issue "ca.example"',
    (BELOW, "TXT"): '"token"',
}


def told(query):
    """What public DNS says."""
    answer = dns.message.make_response(query, recursion_available=True)
    answer.flags |= dns.flags.AA
    name = query.question[0].name.to_text().lower()
    kind = dns.rdatatype.to_text(query.question[0].rdtype)
    data = OUTSIDE.get((name, kind))
    if data is not None:
        answer.answer = [dns.rrset.from_text(name, 300, "IN", kind, data)]
    else:
        answer.authority = [dns.rrset.from_text("shop.test.", 300, "IN", "SOA", SOA)]
        if not any(owner.endswith(name) for owner, _ in OUTSIDE):
            answer.set_rcode(dns.rcode.NXDOMAIN)
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


def powerdns(port, behind, name, lines):
    write(f"{name}/recursor.conf", f"""local-address=127.0.0.1
local-port={port}
socket-dir={box}/{name}
forward-zones=.=127.0.0.1:{behind}
security-poll-suffix=
dont-query=
dnssec=off
setuid=
setgid=
{lines}
""")
    return ["pdns_recursor", f"--config-dir={box}/{name}", "--daemon=no", "--write-pid=no"]


def commands(behind, ports):
    """How each resolver is started: it has another address for the host, and asks ``behind``."""
    policy = write("policy", """@ 60 SOA localhost. nobody.localhost. 1 3600 600 86400 60
@ 60 NS localhost.
host.shop.test 60 A 10.0.0.1
""")
    hosts = write("hosts", "10.0.0.1 host.shop.test\n")
    unbound = write("unbound/conf", f"""server:
 interface: 127.0.0.1@{ports["unbound, local-data"]}
 username: ""
 chroot: ""
 directory: "{box}/unbound"
 pidfile: ""
 do-not-query-localhost: no
 do-daemonize: no
 module-config: "iterator"
 local-zone: "test." transparent
 local-data: "host.shop.test. A 10.0.0.1"
remote-control:
 control-enable: no
forward-zone:
 name: "."
 forward-addr: 127.0.0.1@{behind}
""")
    bind = write("bind/conf", f"""options {{
 directory "{box}/bind"; managed-keys-directory "{box}/bind"; pid-file none; session-keyfile none;
 listen-on port {ports["BIND, policy"]} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};
 forward only; forwarders {{ 127.0.0.1 port {behind}; }};
 response-policy {{ zone "policy"; }} qname-wait-recurse no;
 recursion yes; dnssec-validation no; empty-zones-enable no; }};
controls {{ }};
zone "policy" {{ type primary; file "{policy}"; }};
""")
    knot = write("knot/conf", f"""net.listen('127.0.0.1', {ports["Knot, hints"]})
for _, each in ipairs({{'ta_update', 'ta_signal_query', 'priming', 'detect_time_skew'}}) do
  modules.unload(each)
end
cache.size = 10 * MB
modules.load('hints < iterate')
hints['host.shop.test'] = '10.0.0.1'
policy.add(policy.all(policy.FORWARD({{'127.0.0.1@{behind}'}})))
trust_anchors.remove('.')
""")
    rule = write("rule.lua", f"rpzFile('{policy}')\n")
    dnsmasq = ["dnsmasq", "-k", "-C", "/dev/null", "-u", "root", "--listen-address=127.0.0.1"]
    dnsmasq += ["--bind-interfaces", "--no-resolv", "--no-hosts", f"--server=127.0.0.1#{behind}"]
    kinds = {"dnsmasq, host-record": "--host-record=host.shop.test,10.0.0.1"}
    kinds |= {"dnsmasq, address": "--address=/host.shop.test/10.0.0.1"}
    # These bind first: the others ask from ports of their own, which may be any that is still free.
    started = {
        name: [*dnsmasq, f"--port={ports[name]}", option] for name, option in kinds.items()
    }
    started |= {
        "unbound, local-data": ["unbound", "-d", "-c", unbound],
        "BIND, policy": ["named", "-g", "-c", bind],
        "Knot, hints": ["kresd", "-n", "-q", "-c", knot, f"{box}/knot"],
    }
    name = "PowerDNS, policy"
    started[name] = powerdns(ports[name], behind, "p", f"lua-config-file={rule}")
    name = "PowerDNS, hosts"
    lines = f"etc-hosts-file={hosts}\nexport-etc-hosts=yes"
    started[name] = powerdns(ports[name], behind, "h", lines)
    return started


def ask(port, name, kind, patience=10):
    query = dns.message.make_query(name, kind, use_edns=0)
    return dns.query.udp(query, "127.0.0.1", patience, port)


def shown(answer):
    if answer.answer:
        return " ".join(str(each) for rrset in answer.answer for each in rrset)
    owners = [str(rrset.name) for rrset in answer.authority]
    return " ".join([dns.rcode.to_text(answer.rcode()), "and nothing", *owners])


outside = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
outside.bind(("127.0.0.1", 0))
threading.Thread(target=serve, args=(outside,), daemon=True).start()
NAMES = "unbound, local-data;BIND, policy;Knot, hints;PowerDNS, policy;PowerDNS, hosts"
ports = {name: free_port() for name in NAMES.split(";")}
ports |= {f"dnsmasq, {option}": free_port() for option in ("host-record", "address")}
with open(f"{box}/resolvers.log", "w") as log, contextlib.ExitStack() as stack:
    for name, command in commands(outside.getsockname()[1], ports).items():
        own = {**os.environ, "LD_LIBRARY_PATH": libraries}
        given = own if command[0] == "dnsmasq" else None
        process = subprocess.Popen(command, stdout=log, stderr=log, env=given)
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
    for name, port in ports.items():
        print(f"{name}: A: {shown(ask(port, HOST, 'A'))}; CAA: {shown(ask(port, HOST, 'CAA'))};")
        print(f"  below: {shown(ask(port, BELOW, 'TXT'))}")
END
)
outside='CAA: 0 issue "ca.example";
  below: "token"'
hidden='CAA: NOERROR and nothing;
  below: "token"'
expected="unbound, local-data: A: 10.0.0.1; $hidden
BIND, policy: A: 10.0.0.1; $hidden
Knot, hints: A: 10.0.0.1; $hidden
PowerDNS, policy: A: 10.0.0.1; $hidden
PowerDNS, hosts: A: 10.0.0.1; CAA: NOERROR and nothing host.shop.test.;
  below: NXDOMAIN and nothing host.shop.test.
dnsmasq, host-record: A: 10.0.0.1; $outside
dnsmasq, address: A: 10.0.0.1; $outside"
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
  printf 'CHANGED; it was:\n%s\n' "$expected"
  exit 1
fi
echo "as found"
