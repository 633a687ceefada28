#!/usr/bin/env bash
# A DNS update that would put a TXT record beside a CNAME, or a CNAME beside a TXT record, is
# answered NOERROR, and not done.
#
# VERSION BIND 9.18.49, Knot DNS 3.2.6, PowerDNS 4.7.3 (Debian 12), dnspython 2.9.2
# GUESS   The servers refuse it (RFC 2136 has codes such as YXRRSET), so that nsupdate, or certbot's
#         plug-in that goes by the code, says so. In one message the order does not matter.
# SEEN    BIND and Knot say NOERROR and change nothing; PowerDNS says REFUSED. In one message, the
#         old TXT off and then the CNAME on is done by all three. The CNAME on and then the TXT off
#         leaves nothing at all at BIND and Knot (NOERROR again), and is done by PowerDNS.
# HERE    A token is "placed" where a delegation stands, and a delegation where an old token does,
#         and nobody sees it. Take the TXT record off first.
set -eu
box=$(mktemp -d)
trap 'rm -rf "$box"' EXIT
export PATH="$PATH:/usr/sbin:/sbin:$box/usr/sbin"
(cd "$box" && apt-get -q download knot=3.2.6-1 libknot13=3.2.6-1 libdnssec9=3.2.6-1 \
  libzscanner4=3.2.6-1 liburcu8 pdns-server=4.7.3-2 pdns-backend-sqlite3=4.7.3-2 \
  libboost-program-options1.74.0 && for each in ./*.deb; do dpkg-deb -x "$each" .; done) \
  >"$box/log" 2>&1 || true
version() { { "$@" || true; } 2>&1 | grep -oE '[0-9]+\.[0-9]+\.[0-9]+' | head -n 1 || true; }
libraries=$box/usr/lib/x86_64-linux-gnu
had="$(version named -V) $(LD_LIBRARY_PATH=$libraries version knotd --version)"
had="$had $(LD_LIBRARY_PATH=$libraries version pdns_server --version)"
if [ "$had" != "9.18.49 3.2.6 4.7.3" ]; then
  echo "cannot be had: BIND 9.18.49, Knot DNS 3.2.6, PowerDNS 4.7.3 (Debian 12, amd64)"
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
import dns.rdatatype
import dns.update

box, libraries = sys.argv[1:]
SOA = "ns.shop.test. hostmaster.shop.test. 1 3600 600 1209600 300"
RECORDS = [
    ("shop.test.", "SOA", SOA),
    ("shop.test.", "NS", "ns.shop.test."),
    ("ns.shop.test.", "A", "127.0.0.1"),
    ("_acme-challenge.given.shop.test.", "CNAME", "given.0123.dcv.test."),
    *(
        (f"_acme-challenge.{name}.shop.test.", "TXT", '"old"')
        for name in ("old", "off-on", "on-off")
    ),
]
ZONE = "\n".join(f"{name} 300 {kind} {data}" for name, kind, data in RECORDS) + "\n"


def write(path, text):
    with open(f"{box}/{path}", "w") as file:
        file.write(text)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


ports = {name: free_port() for name in ("BIND", "Knot", "PowerDNS")}
write("bind.zone", ZONE)
write("knot.zone", ZONE)
write("named.conf", f"""options {{
 directory "{box}"; pid-file none; session-keyfile none; recursion no; dnssec-validation no;
 listen-on port {ports["BIND"]} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; }};
controls {{ }};
zone "shop.test" {{ type primary; file "{box}/bind.zone"; allow-update {{ 127.0.0.1; }}; }};
""")
os.mkdir(f"{box}/knot")
write("knot.conf", f"""server:
    rundir: {box}
    listen: 127.0.0.1@{ports["Knot"]}
database:
    storage: {box}/knot
acl:
  - id: here
    address: 127.0.0.1
    action: update
zone:
  - domain: shop.test
    file: {box}/knot.zone
    acl: here
""")
schema = f"{box}/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql"
with contextlib.closing(sqlite3.connect(f"{box}/pdns.db")) as database, open(schema) as tables:
    database.executescript(tables.read())
    database.execute("INSERT INTO domains (id, name, type) VALUES (1, 'shop.test', 'NATIVE')")
    into = "INSERT INTO records (domain_id, ttl, auth, name, type, content)"
    for name, kind, data in RECORDS:
        plain = (name.rstrip("."), kind, data.replace(". ", " ").rstrip("."))
        database.execute(f"{into} VALUES (1, 300, 1, ?, ?, ?)", plain)
    database.commit()
write("pdns.conf", f"""module-dir={libraries}/pdns
launch=gsqlite3
gsqlite3-database={box}/pdns.db
local-address=127.0.0.1
local-port={ports["PowerDNS"]}
socket-dir={box}
dnsupdate=yes
allow-dnsupdate-from=127.0.0.0/8
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
    "PowerDNS": ["pdns_server", f"--config-dir={box}", "--daemon=no", "--guardian=no"],
}


def what_is_at(port, name, *kinds):
    for kind in kinds:
        query = dns.message.make_query(name, kind)
        for rrset in dns.query.udp(query, "127.0.0.1", 3, port).answer:
            return " ".join([dns.rdatatype.to_text(rrset.rdtype), *map(str, rrset)])
    return "nothing"


def update(server, port, what, name, *steps):
    """Send one update message, and show what came of it."""
    message = dns.update.UpdateMessage("shop.test")
    for step, *record in steps:
        getattr(message, step)(f"_acme-challenge.{name}", *record)
    code = dns.rcode.to_text(dns.query.tcp(message, "127.0.0.1", 5, port).rcode())
    there = what_is_at(port, f"_acme-challenge.{name}.shop.test", "CNAME", "TXT")
    print(f"{server}, {what}: {code}, then {there}", flush=True)


with open(f"{box}/servers.log", "w") as log, contextlib.ExitStack() as stack:
    environment = {**os.environ, "LD_LIBRARY_PATH": libraries}
    for server, command in COMMANDS.items():
        own = None if server == "BIND" else environment
        process = subprocess.Popen(command, env=own, stdout=log, stderr=log)
        stack.callback(process.wait, 10)
        stack.callback(process.terminate)
    for server, port in ports.items():
        last = time.monotonic() + 15
        while time.monotonic() < last:
            with contextlib.suppress(dns.exception.DNSException, OSError):
                if what_is_at(port, "ns.shop.test", "A") != "nothing":
                    break
            time.sleep(0.1)
        cname = ("add", 60, "CNAME", "new.0123.dcv.test.")
        update(server, port, "TXT beside CNAME", "given", ("add", 60, "TXT", "token"))
        update(server, port, "CNAME beside TXT", "old", cname)
        update(server, port, "TXT off, CNAME on", "off-on", ("delete", "TXT"), cname)
        update(server, port, "CNAME on, TXT off", "on-off", cname, ("delete", "TXT"))
END
)
given="CNAME given.0123.dcv.test."
old='TXT "old"'
new="CNAME new.0123.dcv.test."
expected="BIND, TXT beside CNAME: NOERROR, then $given
BIND, CNAME beside TXT: NOERROR, then $old
BIND, TXT off, CNAME on: NOERROR, then $new
BIND, CNAME on, TXT off: NOERROR, then nothing
Knot, TXT beside CNAME: NOERROR, then $given
Knot, CNAME beside TXT: NOERROR, then $old
Knot, TXT off, CNAME on: NOERROR, then $new
Knot, CNAME on, TXT off: NOERROR, then nothing
PowerDNS, TXT beside CNAME: REFUSED, then $given
PowerDNS, CNAME beside TXT: REFUSED, then $old
PowerDNS, TXT off, CNAME on: NOERROR, then $new
PowerDNS, CNAME on, TXT off: NOERROR, then $new"
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
  printf 'CHANGED; it was:\n%s\n' "$expected"
  exit 1
fi
echo "as found"
