#!/usr/bin/env bash
# A SERVFAIL is remembered: by PowerDNS Recursor and by dnsdist for a whole minute after the name
# servers were mended.
#
# VERSION unbound 1.17.1, BIND 9.18.49, Knot Resolver 5.6.0, PowerDNS Recursor 4.8.8, dnsmasq 2.90,
#         dnsdist 1.7.3 with a packet cache (Debian 12), as they come; dnspython 2.9.2
# GUESS   Some seconds at most: unbound 5, BIND 1, Knot 5, PowerDNS 5 to 10. dnsdist and dnsmasq hand
#         each question on, as a failure is nothing to keep.
# SEEN    dnsmasq keeps nothing, BIND and Knot a second or two, unbound five. PowerDNS keeps a SERVFAIL
#         for 60 s (packetcache-servfail-ttl), and so does dnsdist (temporaryFailureTTL), which gets
#         in front of any of the others.
# HERE    Who mends the name servers, looks, and sees CAA failing as before, goes on searching where
#         nothing is broken any more. Look again after a minute.
set -eu
box=$(mktemp -d)
trap 'rm -rf "$box"' EXIT
export PATH="$PATH:/usr/sbin:/sbin:$box/usr/sbin:$box/usr/bin"
(cd "$box" && apt-get -q download dnsmasq-base libnftables1 libnftnl11 libnetfilter-conntrack3 \
  libnfnetlink0 libmnl0 libjansson4 libxtables12 dnsdist=1.7.3-2 libcdb1 libfstrm0 libh2o0.13 \
  libh2o-evloop0.13 libluajit-5.1-2 libre2-9 libwslay1 && for each in ./*.deb; do
  dpkg-deb -x "$each" .; done) >"$box/log" 2>&1 || true
libraries=$box/usr/lib/x86_64-linux-gnu
version() { { "$@" || true; } 2>&1 | grep -oE '[0-9]+\.[0-9]+(\.[0-9]+)?' | head -n 1 || true; }
had="$(version unbound -V) $(version named -V) $(version kresd -V)"
had="$had $(version pdns_recursor --version) $(LD_LIBRARY_PATH=$libraries version dnsmasq -v)"
had="$had $(LD_LIBRARY_PATH=$libraries version dnsdist --version)"
if [ "$had" != "1.17.1 9.18.49 5.6.0 4.8.8 2.90 1.7.3" ]; then
  echo "cannot be had: unbound 1.17.1, BIND 9.18.49, Knot Resolver 5.6.0, PowerDNS Recursor 4.8.8,"
  echo "dnsmasq 2.90 and dnsdist 1.7.3 (Debian 12, amd64)"
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
HOST = "host.shop.test."
mended = threading.Event()


def told(query):
    """What the name servers say: SERVFAIL for the host, until they are mended."""
    answer = dns.message.make_response(query, recursion_available=True)
    name, kind = query.question[0].name.to_text().lower(), query.question[0].rdtype
    if name == HOST and not mended.is_set():
        answer.set_rcode(dns.rcode.SERVFAIL)
        return answer
    answer.flags |= dns.flags.AA
    if name == HOST and kind == dns.rdatatype.CAA:
        answer.answer = [dns.rrset.from_text(name, 300, "IN", "CAA", '0 issue "ca.example"')]
    elif name == "ns.shop.test." and kind == dns.rdatatype.A:
        answer.answer = [dns.rrset.from_text(name, 300, "IN", "A", "127.0.0.1")]
    else:
        soa = "ns.shop.test. hostmaster.shop.test. 1 3600 600 1209600 300"
        answer.authority = [dns.rrset.from_text("shop.test.", 300, "IN", "SOA", soa)]
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
    """How each is started: it asks nobody but ``behind``. What has no ports of its own binds first."""
    dnsdist = write("dnsdist/conf", f"""setLocal('127.0.0.1:{ports["dnsdist"]}')
newServer({{address='127.0.0.1:{behind}', healthCheckMode='up'}})
getPool(''):setCache(newPacketCache(10000))
""")
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
    dnsmasq = ["dnsmasq", "-k", "-C", "/dev/null", "-u", "root", "--listen-address=127.0.0.1"]
    dnsmasq += ["--bind-interfaces", "--no-resolv", "--no-hosts", f"--server=127.0.0.1#{behind}"]
    return {
        "dnsdist": ["dnsdist", "--supervised", "--disable-syslog", "-C", dnsdist],
        "dnsmasq": [*dnsmasq, f"--port={ports['dnsmasq']}"],
        "unbound": ["unbound", "-d", "-c", unbound],
        "BIND": ["named", "-g", "-c", bind],
        "Knot": ["kresd", "-n", "-q", "-c", knot, f"{box}/knot"],
        "PowerDNS": ["pdns_recursor", f"--config-dir={box}/powerdns", "--daemon=no"]
        + ["--write-pid=no"],
    }


def found(port, name, kind, patience=10):
    query = dns.message.make_query(name, kind, use_edns=0)
    return bool(dns.query.udp(query, "127.0.0.1", patience, port).answer)


def lasts(seconds):
    if seconds < 1:
        return "not at all"
    if seconds < 4:
        return "one or two seconds"
    return "some five seconds" if seconds < 12 else f"{round(seconds / 10) * 10} s"


servers = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
servers.bind(("127.0.0.1", 0))
threading.Thread(target=serve, args=(servers,), daemon=True).start()
NAMES = ("dnsmasq", "BIND", "Knot", "unbound", "PowerDNS", "dnsdist")
ports = {name: free_port() for name in NAMES}
with open(f"{box}/resolvers.log", "w") as log, contextlib.ExitStack() as stack:
    for name, command in commands(servers.getsockname()[1], ports).items():
        own = {**os.environ, "LD_LIBRARY_PATH": libraries}
        given = own if name in ("dnsdist", "dnsmasq") else None
        process = subprocess.Popen(command, stdout=log, stderr=log, env=given)
        stack.callback(process.wait, 10)
        stack.callback(process.terminate)
    for name, port in ports.items():
        last = time.monotonic() + 15
        while True:
            with contextlib.suppress(dns.exception.Timeout, OSError):
                if found(port, "ns.shop.test", "A", patience=1):
                    break
            if time.monotonic() > last:
                raise SystemExit(f"{name} does not answer")
            time.sleep(0.1)
    failed = {name: time.monotonic() for name in NAMES if not found(ports[name], HOST, "CAA")}
    mended.set()
    kept = {}
    while len(kept) < len(failed) and time.monotonic() < last + 100:
        for name in failed.keys() - kept.keys():
            if found(ports[name], HOST, "CAA"):
                kept[name] = time.monotonic() - failed[name]
        time.sleep(0.2)
    for name in NAMES:
        print(f"{name}: {lasts(kept[name]) if name in kept else 'never failed, or still does'}")
END
)
expected="dnsmasq: not at all
BIND: one or two seconds
Knot: one or two seconds
unbound: some five seconds
PowerDNS: 60 s
dnsdist: 60 s"
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
  printf 'CHANGED; it was:\n%s\n' "$expected"
  exit 1
fi
echo "as found"
