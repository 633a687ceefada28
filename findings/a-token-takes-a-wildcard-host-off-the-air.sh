#!/usr/bin/env bash
# A token placed below a host that lives by a wildcard takes the host off the air: at once, or, with
# PowerDNS, on the day on which somebody changes something else.
#
# VERSION BIND 9.18.49, Knot DNS 3.2.6, NSD 4.6.1, PowerDNS 4.7.3 with SQLite (Debian 12);
#         dnspython 2.9.2
# GUESS   With *.shop.test in the zone, a TXT record at _acme-challenge.www.shop.test makes
#         www.shop.test exist, without an address (RFC 4592), from that moment on: at every server,
#         however the record was placed. pdnsutil puts the zone in order itself, as the API does.
# SEEN    So it is at BIND, Knot and NSD, and at PowerDNS for what was placed by its API or by a DNS
#         update. After pdnsutil add-record, and after SQL (which panels write), the host stays where
#         it was, until the next call of the API for any record of the zone, or rectify-zone: then
#         it is gone as well.
# HERE    "Place this TXT record" may end the site whose certificate it is for, in a zone whose DNS
#         is run elsewhere. Give the host its own A, AAAA or CNAME record first.
set -eu
box=$(mktemp -d)
trap 'rm -rf "$box"' EXIT
export PATH="$PATH:/usr/sbin:/sbin:$box/usr/sbin:$box/usr/bin"
(cd "$box" && apt-get -q download knot=3.2.6-1 libknot13=3.2.6-1 libdnssec9=3.2.6-1 \
  libzscanner4=3.2.6-1 liburcu8 pdns-server=4.7.3-2 pdns-backend-sqlite3=4.7.3-2 \
  libboost-program-options1.74.0 nsd && for each in ./*.deb; do dpkg-deb -x "$each" .; done) \
  >"$box/log" 2>&1 || true
version() { { "$@" || true; } 2>&1 | grep -oE '[0-9]+\.[0-9]+\.[0-9]+' | head -n 1 || true; }
libraries=$box/usr/lib/x86_64-linux-gnu
had="$(version named -V) $(LD_LIBRARY_PATH=$libraries version knotd --version)"
had="$had $(version nsd -v) $(LD_LIBRARY_PATH=$libraries version pdns_server --version)"
if [ "$had" != "9.18.49 3.2.6 4.6.1 4.7.3" ]; then
  echo "cannot be had: BIND 9.18.49, Knot DNS 3.2.6, NSD 4.6.1, PowerDNS 4.7.3 (Debian 12, amd64)"
  exit 77
fi
if ! { python3 -m venv "$box/v" && "$box/v/bin/pip" -q --disable-pip-version-check install \
  dnspython==2.9.2; } >"$box/log" 2>&1; then
  echo "cannot be had: dnspython 2.9.2 could not be installed"
  exit 77
fi
seen=$("$box/v/bin/python" - "$box" "$libraries" <<'END'
import contextlib
import json
import os
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request

import dns.exception
import dns.message
import dns.query
import dns.update

box, libraries = sys.argv[1:]
SOA = "ns.shop.test. hostmaster.shop.test. 1 3600 600 1209600 300"
RECORDS = [
    ("shop.test.", "SOA", SOA),
    ("shop.test.", "NS", "ns.shop.test."),
    ("ns.shop.test.", "A", "127.0.0.1"),
    ("*.shop.test.", "A", "192.0.2.1"),
]
TOKEN = ("_acme-challenge.www.shop.test.", "TXT", '"token"')
environment = {**os.environ, "LD_LIBRARY_PATH": libraries}


def write(path, text):
    with open(f"{box}/{path}", "w") as file:
        file.write(text)
    return f"{box}/{path}"


def free_port():
    """One that is free for UDP and for TCP: servers want both."""
    with socket.create_server(("127.0.0.1", 0)) as tcp:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.bind(tcp.getsockname())
            return udp.getsockname()[1]


ports = {name: free_port() for name in ("BIND", "Knot", "NSD", "PowerDNS", "web")}
lines = (f"{name} 300 {kind} {data}\n" for name, kind, data in [*RECORDS, TOKEN])
zone = write("zone", "".join(lines))
write("named.conf", f"""options {{
 directory "{box}"; pid-file none; session-keyfile none; recursion no; dnssec-validation no;
 listen-on port {ports["BIND"]} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; }};
controls {{ }};
zone "shop.test" {{ type primary; file "{zone}"; }};
""")
os.mkdir(f"{box}/knot")
write("knot.conf", f"""server:
    rundir: {box}
    listen: 127.0.0.1@{ports["Knot"]}
database:
    storage: {box}/knot
zone:
  - domain: shop.test
    file: {zone}
""")
write("nsd.conf", f"""server:
 ip-address: 127.0.0.1@{ports["NSD"]}
 username: ""
 chroot: ""
 database: ""
 zonesdir: "{box}"
 pidfile: ""
 xfrdfile: "{box}/xfrd"
 zonelistfile: "{box}/zones"
remote-control:
 control-enable: no
zone:
 name: shop.test
 zonefile: {zone}
""")
schema = f"{box}/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql"
database = sqlite3.connect(f"{box}/pdns.db")
with open(schema) as tables:
    database.executescript(tables.read())
database.execute("INSERT INTO domains (id, name, type) VALUES (1, 'shop.test', 'NATIVE')")


def by_sql(name, kind, data):
    plain = (name.rstrip("."), kind, data.replace(". ", " ").rstrip("."))
    into = "INSERT INTO records (domain_id, ttl, auth, name, type, content)"
    database.execute(f"{into} VALUES (1, 300, 1, ?, ?, ?)", plain)
    database.commit()


for record in RECORDS:
    by_sql(*record)
write("pdns.conf", f"""module-dir={libraries}/pdns
launch=gsqlite3
gsqlite3-database={box}/pdns.db
local-address=127.0.0.1
local-port={ports["PowerDNS"]}
socket-dir={box}
dnsupdate=yes
allow-dnsupdate-from=127.0.0.0/8
api=yes
api-key=key
webserver=yes
webserver-port={ports["web"]}
setuid=
setgid=
security-poll-suffix=
cache-ttl=0
query-cache-ttl=0
negquery-cache-ttl=0
""")
COMMANDS = {
    "BIND": ["named", "-g", "-c", f"{box}/named.conf"],
    "Knot": ["knotd", "-c", f"{box}/knot.conf"],
    "NSD": ["nsd", "-d", "-c", f"{box}/nsd.conf"],
    "PowerDNS": ["pdns_server", f"--config-dir={box}", "--daemon=no", "--guardian=no"],
}


def address(server, host):
    query = dns.message.make_query(f"{host}.shop.test", "A")
    answer = dns.query.udp(query, "127.0.0.1", 3, ports[server]).answer
    return str(answer[0][0]) if answer else "none"


def by_pdnsutil(name, kind, data):
    name = name.removesuffix(".shop.test.")
    command = ["pdnsutil", f"--config-dir={box}", "add-record", "shop.test", name, kind, "60", data]
    subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)


def by_update(name, kind, data):
    message = dns.update.UpdateMessage("shop.test")
    message.add(name, 60, kind, data)
    dns.query.tcp(message, "127.0.0.1", 5, ports["PowerDNS"])


def by_api(name, kind, data):
    change = {"name": name, "type": kind, "ttl": 60, "changetype": "REPLACE"}
    change["records"] = [{"content": data, "disabled": False}]
    url = f"http://127.0.0.1:{ports['web']}/api/v1/servers/localhost/zones/shop.test."
    headers = {"X-API-Key": "key", "Content-Type": "application/json"}
    body = json.dumps({"rrsets": [change]}).encode()
    request = urllib.request.Request(url, body, headers, method="PATCH")
    with urllib.request.urlopen(request, timeout=5):
        pass


with open(f"{box}/servers.log", "w") as log, contextlib.ExitStack() as stack:
    for server, command in COMMANDS.items():
        own = environment if server in ("Knot", "PowerDNS") else None
        process = subprocess.Popen(command, env=own, stdout=log, stderr=log)
        stack.callback(process.wait, 10)
        stack.callback(process.terminate)
    for server in COMMANDS:
        last = time.monotonic() + 15
        while time.monotonic() < last:
            with contextlib.suppress(dns.exception.DNSException, OSError):
                if address(server, "ns") != "none":
                    break
            time.sleep(0.1)
    for server in ("BIND", "Knot", "NSD"):
        any_host, www = address(server, "any"), address(server, "www")
        print(f"{server}: any host: {any_host}, that of the token: {www}", flush=True)
    WAYS = {"sql": by_sql, "pdnsutil": by_pdnsutil, "update": by_update}
    for host, place in WAYS.items():
        place(f"_acme-challenge.{host}.shop.test.", "TXT", '"token"')
        print(f"PowerDNS, placed by {host}: {address('PowerDNS', host)}", flush=True)
    by_api("else.shop.test.", "TXT", '"of another matter"')
    for host in WAYS:
        after = "once something else was placed by the API"
        print(f"PowerDNS, placed by {host}, {after}: {address('PowerDNS', host)}")
END
)
later="once something else was placed by the API"
expected="BIND: any host: 192.0.2.1, that of the token: none
Knot: any host: 192.0.2.1, that of the token: none
NSD: any host: 192.0.2.1, that of the token: none
PowerDNS, placed by sql: 192.0.2.1
PowerDNS, placed by pdnsutil: 192.0.2.1
PowerDNS, placed by update: none
PowerDNS, placed by sql, $later: none
PowerDNS, placed by pdnsutil, $later: none
PowerDNS, placed by update, $later: none"
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
  printf 'CHANGED; it was:\n%s\n' "$expected"
  exit 1
fi
echo "as found"
