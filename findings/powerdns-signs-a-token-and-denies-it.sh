#!/usr/bin/env bash
# In a zone that PowerDNS signs, a token placed by pdnsutil or SQL has a good signature, and the proofs
# beside it say that it does not exist.
#
# VERSION PowerDNS 4.7.3 with SQLite, NSEC; unbound 1.17.1, BIND 9.18.49, Knot Resolver 5.6.0,
#         PowerDNS Recursor 4.8.8 (Debian 12), as they come; dnspython 2.9.2
# GUESS   PowerDNS signs while it answers, so what is in its database is in its proofs as well, however
#         it got there. A validating resolver with an empty cache sees the new token.
# SEEN    The NSEC of the host still leads to the next host, past the token. Once a resolver has been
#         asked for the host's CAA records, unbound, BIND and Knot take that for a proof (RFC 8198),
#         and say NXDOMAIN for the token without asking. PowerDNS Recursor sees the token. With a DNS
#         update, or after pdnsutil rectify-zone, all four see it.
# HERE    Certificate authorities validate DNSSEC, and ask for CAA as well as for the token: to one
#         that asks in that order the token is missing, while dig at the name server shows it. Rectify
#         the zone after each pdnsutil or SQL, or place tokens by DNS update or by the API.
set -eu
box=$(mktemp -d)
trap 'rm -rf "$box"' EXIT
export PATH="$PATH:/usr/sbin:/sbin:$box/usr/sbin:$box/usr/bin"
(cd "$box" && apt-get -q download pdns-server=4.7.3-2 pdns-backend-sqlite3=4.7.3-2 \
  libboost-program-options1.74.0 && for each in ./*.deb; do dpkg-deb -x "$each" .; done) \
  >"$box/log" 2>&1 || true
version() { { "$@" || true; } 2>&1 | grep -oE '[0-9]+\.[0-9]+\.[0-9]+' | head -n 1 || true; }
libraries=$box/usr/lib/x86_64-linux-gnu
had="$(version unbound -V) $(version named -V) $(version kresd -V)"
had="$had $(version pdns_recursor --version)"
had="$had $(LD_LIBRARY_PATH=$libraries version pdns_server --version)"
if [ "$had" != "1.17.1 9.18.49 5.6.0 4.8.8 4.7.3" ]; then
  echo "cannot be had: unbound 1.17.1, BIND 9.18.49, Knot Resolver 5.6.0, PowerDNS Recursor 4.8.8"
  echo "and PowerDNS 4.7.3 (Debian 12, amd64)"
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
import sqlite3
import subprocess
import sys
import time

import dns.exception
import dns.message
import dns.query
import dns.rcode
import dns.update

box, libraries = sys.argv[1:]
environment = {**os.environ, "LD_LIBRARY_PATH": libraries}


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


def pdnsutil(*words):
    command = ["pdnsutil", f"--config-dir={box}/authority", *words]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return ended.stdout


authority = free_port()
database = sqlite3.connect(f"{box}/pdns.db")
with open(f"{box}/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql") as tables:
    database.executescript(tables.read())
database.execute("INSERT INTO domains (id, name, type) VALUES (1, 'shop.test', 'NATIVE')")


def by_sql(name, kind, data):
    into = "INSERT INTO records (domain_id, ttl, auth, name, type, content)"
    database.execute(f"{into} VALUES (1, 60, 1, ?, ?, ?)", (name, kind, data))
    database.commit()


by_sql("shop.test", "SOA", "ns.shop.test hostmaster.shop.test 1 3600 600 1209600 300")
by_sql("shop.test", "NS", "ns.shop.test")
by_sql("ns.shop.test", "A", "127.0.0.1")
HOSTS = {"sql": "placed by SQL", "tool": "placed by pdnsutil", "update": "placed by a DNS update"}
HOSTS["zone"] = "placed by pdnsutil, then rectified"
for host in HOSTS:
    by_sql(f"{host}.shop.test", "A", "192.0.2.1")
write("authority/pdns.conf", f"""module-dir={libraries}/pdns
launch=gsqlite3
gsqlite3-database={box}/pdns.db
gsqlite3-dnssec=yes
local-address=127.0.0.1
local-port={authority}
socket-dir={box}/authority
dnsupdate=yes
allow-dnsupdate-from=127.0.0.0/8
setuid=
setgid=
security-poll-suffix=
cache-ttl=0
query-cache-ttl=0
negquery-cache-ttl=0
""")
pdnsutil("secure-zone", "shop.test")
pdnsutil("rectify-zone", "shop.test")
lines = [line.split() for line in pdnsutil("export-zone-ds", "shop.test").splitlines()]
tag, algorithm, digest, hashed = next(line[3:7] for line in lines if line[5] == "2")
ds = f"{tag} {algorithm} {digest} {hashed}"


def commands(ports):
    """How each resolver is started: it validates, and asks nobody but the authority."""
    anchor = write("unbound/anchor", f"shop.test. IN DS {ds}\n")
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
stub-zone:
 name: "shop.test"
 stub-addr: 127.0.0.1@{authority}
""")
    bind = write("bind/conf", f"""options {{
 directory "{box}/bind"; managed-keys-directory "{box}/bind"; pid-file none; session-keyfile none;
 listen-on port {ports["BIND"]} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};
 forward only; forwarders {{ 127.0.0.1 port {authority}; }};
 recursion yes; dnssec-validation yes; empty-zones-enable no; }};
controls {{ }};
trust-anchors {{ "shop.test" static-ds {tag} {algorithm} {digest} "{hashed}"; }};
""")
    knot = write("knot/conf", f"""net.listen('127.0.0.1', {ports["Knot"]})
for _, each in ipairs({{'ta_update', 'ta_signal_query', 'priming', 'detect_time_skew'}}) do
  modules.unload(each)
end
cache.size = 10 * MB
policy.add(policy.all(policy.FORWARD({{'127.0.0.1@{authority}'}})))
trust_anchors.remove('.')
trust_anchors.add('shop.test. 3600 IN DS {ds}')
""")
    anchor = write("powerdns/anchor", f'clearTA(".")\naddTA("shop.test", "{ds}")\n')
    write("powerdns/recursor.conf", f"""local-address=127.0.0.1
local-port={ports["PowerDNS"]}
socket-dir={box}/powerdns
forward-zones=.=127.0.0.1:{authority}
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


def ask(port, name, kind, patience=10):
    query = dns.message.make_query(name, kind, use_edns=0)
    return dns.query.udp(query, "127.0.0.1", patience, port)


def wait_for(port):
    last = time.monotonic() + 15
    while time.monotonic() < last:
        with contextlib.suppress(dns.exception.Timeout, OSError):
            if ask(port, "ns.shop.test", "A", patience=1).answer:
                return
        time.sleep(0.1)
    raise SystemExit("a server does not answer")


def shown(answer):
    records = [str(each) for rrset in answer.answer for each in rrset]
    return " ".join(records) or dns.rcode.to_text(answer.rcode())


with open(f"{box}/servers.log", "w") as log, contextlib.ExitStack() as stack:

    def start(command, **more):
        process = subprocess.Popen(command, stdout=log, stderr=log, **more)
        stack.callback(process.wait, 10)
        stack.callback(process.terminate)

    options = [f"--config-dir={box}/authority", "--daemon=no", "--guardian=no"]
    start(["pdns_server", *options], env=environment)
    wait_for(authority)
    message = dns.update.UpdateMessage("shop.test")
    message.add("_acme-challenge.update", 60, "TXT", '"token"')
    dns.query.tcp(message, "127.0.0.1", 5, authority)
    by_sql("_acme-challenge.sql.shop.test", "TXT", '"token"')
    for host in ("tool", "zone"):
        name = f"_acme-challenge.{host}"
        pdnsutil("add-record", "shop.test", name, "TXT", "60", '"token"')
    ports = {name: free_port() for name in ("unbound", "BIND", "Knot", "PowerDNS")}
    for command in commands(ports).values():
        start(command)
    for port in ports.values():
        wait_for(port)
    for host, how in HOSTS.items():
        if host == "zone":
            pdnsutil("rectify-zone", "shop.test")
        said = []
        for name, port in {"the server itself": authority, **ports}.items():
            ask(port, f"{host}.shop.test", "CAA")
            said.append(f"{name}: {shown(ask(port, f'_acme-challenge.{host}.shop.test', 'TXT'))}")
        print(f"{how}: {', '.join(said)}", flush=True)
END
)
all='unbound: "token", BIND: "token", Knot: "token", PowerDNS: "token"'
some='unbound: NXDOMAIN, BIND: NXDOMAIN, Knot: NXDOMAIN, PowerDNS: "token"'
expected="placed by SQL: the server itself: \"token\", $some
placed by pdnsutil: the server itself: \"token\", $some
placed by a DNS update: the server itself: \"token\", $all
placed by pdnsutil, then rectified: the server itself: \"token\", $all"
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
  printf 'CHANGED; it was:\n%s\n' "$expected"
  exit 1
fi
echo "as found"
