#!/usr/bin/env bash
# PowerDNS, an authoritative server, goes on saying for a minute that a record is missing which is in
# its database by now.
#
# VERSION PowerDNS 4.7.3 with SQLite (Debian 12), caches as they come; dnspython 2.9.2
# GUESS   The server that has the records shows a new one after 20 s at the latest, the time of its
#         packet cache, also where it had just been asked for.
# SEEN    Placed by SQL (as panels do) or by pdnsutil add-record, a record that was asked for just
#         before is "not there" for 60 s (negquery-cache-ttl). By a DNS update or by its API it is
#         there at once. "pdns_control purge ZONE$" helps as well.
# HERE    Who looks whether the token is there before it is, or whose daemon does, hides it for a
#         minute: from the certificate authority, and for longer from resolvers, which keep that
#         denial for as long as the SOA says. Place it by the API, or purge, and only then ask
#         Cloudflare to check.
set -eu
box=$(mktemp -d)
trap 'rm -rf "$box"' EXIT
export PATH="$PATH:/usr/sbin:/sbin:$box/usr/sbin:$box/usr/bin"
(cd "$box" && apt-get -q download pdns-server=4.7.3-2 pdns-backend-sqlite3=4.7.3-2 \
  libboost-program-options1.74.0 && for each in ./*.deb; do dpkg-deb -x "$each" .; done) \
  >"$box/log" 2>&1 || true
libraries=$box/usr/lib/x86_64-linux-gnu
if ! LD_LIBRARY_PATH=$libraries pdns_server --version 2>&1 | grep -q "4\.7\.3"; then
  echo "cannot be had: PowerDNS 4.7.3 (Debian 12, amd64)"
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
environment = {**os.environ, "LD_LIBRARY_PATH": libraries}


def free_port():
    """One that is free for UDP and for TCP: servers want both."""
    with socket.create_server(("127.0.0.1", 0)) as tcp:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.bind(tcp.getsockname())
            return udp.getsockname()[1]


port, web = free_port(), free_port()
database = sqlite3.connect(f"{box}/pdns.db")
with open(f"{box}/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql") as tables:
    database.executescript(tables.read())
database.execute("INSERT INTO domains (id, name, type) VALUES (1, 'shop.test', 'NATIVE')")


def by_sql(name, data, kind="TXT"):
    into = "INSERT INTO records (domain_id, ttl, auth, name, type, content)"
    database.execute(f"{into} VALUES (1, 60, 1, ?, ?, ?)", (name, kind, data))
    database.commit()


by_sql("shop.test", "ns.shop.test hostmaster.shop.test 1 3600 600 1209600 300", "SOA")
by_sql("shop.test", "ns.shop.test", "NS")
by_sql("ns.shop.test", "127.0.0.1", "A")
with open(f"{box}/pdns.conf", "w") as config:
    config.write(f"""module-dir={libraries}/pdns
launch=gsqlite3
gsqlite3-database={box}/pdns.db
local-address=127.0.0.1
local-port={port}
socket-dir={box}
dnsupdate=yes
allow-dnsupdate-from=127.0.0.0/8
api=yes
api-key=key
webserver=yes
webserver-port={web}
setuid=
setgid=
security-poll-suffix=
""")


def run(*command):
    subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)


def by_sql_and_purge(name, data):
    by_sql(name, data)
    run("pdns_control", f"--config-dir={box}", f"--socket-dir={box}", "purge", "shop.test$")


def by_pdnsutil(name, data):
    inside = name.removesuffix(".shop.test")
    run("pdnsutil", f"--config-dir={box}", "add-record", "shop.test", inside, "TXT", "60", data)


def by_update(name, data):
    message = dns.update.UpdateMessage("shop.test")
    message.add(f"{name}.", 60, "TXT", data)
    dns.query.tcp(message, "127.0.0.1", 5, port)


def by_api(name, data):
    change = {"name": f"{name}.", "type": "TXT", "ttl": 60, "changetype": "REPLACE"}
    change["records"] = [{"content": data, "disabled": False}]
    url = f"http://127.0.0.1:{web}/api/v1/servers/localhost/zones/shop.test."
    headers = {"X-API-Key": "key", "Content-Type": "application/json"}
    body = json.dumps({"rrsets": [change]}).encode()
    request = urllib.request.Request(url, body, headers, method="PATCH")
    with urllib.request.urlopen(request, timeout=5):
        pass


def there(name, kind="TXT"):
    return bool(dns.query.udp(dns.message.make_query(name, kind), "127.0.0.1", 3, port).answer)


WAYS = {
    "SQL": by_sql,
    "pdnsutil": by_pdnsutil,
    "SQL, and a purge of its name": by_sql_and_purge,
    "DNS update": by_update,
    "API": by_api,
}
names = {way: f"_acme-challenge.host{number}.shop.test" for number, way in enumerate(WAYS)}
with open(f"{box}/server.log", "w") as log, contextlib.ExitStack() as stack:
    command = ["pdns_server", f"--config-dir={box}", "--daemon=no", "--guardian=no"]
    process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    stack.callback(process.wait, 10)
    stack.callback(process.terminate)
    last = time.monotonic() + 15
    while time.monotonic() < last:
        with contextlib.suppress(dns.exception.DNSException, OSError):
            if there("ns.shop.test", "A"):
                break
        time.sleep(0.1)
    # Whoever places a record by update or API has the whole zone forgotten: those come last.
    asked, shown = {}, {}
    for way in ("SQL", "pdnsutil"):
        there(names[way])
        WAYS[way](names[way], '"token"')
        asked[way] = time.monotonic()
    while len(shown) < len(asked) and time.monotonic() < last + 90:
        time.sleep(1)
        for way in asked.keys() - shown.keys():
            if there(names[way]):
                shown[way] = round((time.monotonic() - asked[way]) / 10) * 10
    for way in asked:
        print(f"{way}: there after about {shown.get(way)} s", flush=True)
    for way in list(WAYS)[2:]:
        there(names[way])
        WAYS[way](names[way], '"token"')
        print(f"{way}: {'there at once' if there(names[way]) else 'not there'}", flush=True)
END
)
expected="SQL: there after about 60 s
pdnsutil: there after about 60 s
SQL, and a purge of its name: there at once
DNS update: there at once
API: there at once"
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
  printf 'CHANGED; it was:\n%s\n' "$expected"
  exit 1
fi
echo "as found"
