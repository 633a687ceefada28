#!/usr/bin/env bash
# An ALIAS record of PowerDNS at a domain's apex gives its address at PowerDNS alone: a secondary name
# server gets a record that it cannot use, and answers that the apex has none.
#
# VERSION PowerDNS 4.7.3 with SQLite, expand-alias=yes; BIND 9.18.49 as its secondary (Debian 12);
#         dnspython 2.9.2
# GUESS   In a zone transfer the ALIAS is what it is in an answer, the addresses it leads to: a
#         secondary of another make can do nothing with an ALIAS.
# SEEN    It is sent as a record of type 65401. BIND takes the zone without a word, and says that the
#         apex has no address. Only with outgoing-axfr-expand-alias=yes are the addresses sent.
# HERE    In a partial zone the apex leads to Cloudflare by such a record. Asked at the secondary, a
#         visitor and a certificate authority that validates by HTTP find no address; which of the
#         servers is asked is chance, so that it fails now and then, and from some places. Ask each
#         name server by itself.
set -eu
box=$(mktemp -d)
trap 'rm -rf "$box"' EXIT
export PATH="$PATH:/usr/sbin:/sbin:$box/usr/sbin"
(cd "$box" && apt-get -q download pdns-server=4.7.3-2 pdns-backend-sqlite3=4.7.3-2 \
  libboost-program-options1.74.0 && for each in ./*.deb; do dpkg-deb -x "$each" .; done) \
  >"$box/log" 2>&1 || true
version() { { "$@" || true; } 2>&1 | grep -oE '[0-9]+\.[0-9]+\.[0-9]+' | head -n 1 || true; }
libraries=$box/usr/lib/x86_64-linux-gnu
had="$(version named -V) $(LD_LIBRARY_PATH=$libraries version pdns_server --version)"
if [ "$had" != "9.18.49 4.7.3" ]; then
  echo "cannot be had: BIND 9.18.49, PowerDNS 4.7.3 (Debian 12, amd64)"
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
import threading
import time

import dns.exception
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import dns.rrset

box, libraries = sys.argv[1:]
TARGET = "shop.test.cdn.example"


def resolve(sock):
    """The resolver that PowerDNS asks for what an ALIAS leads to."""
    while True:
        wire, asker = sock.recvfrom(4096)
        query = dns.message.from_wire(wire)
        answer = dns.message.make_response(query, recursion_available=True)
        if query.question[0].rdtype == dns.rdatatype.A:
            address = dns.rrset.from_text(query.question[0].name, 300, "IN", "A", "192.0.2.7")
            answer.answer = [address]
        sock.sendto(answer.to_wire(), asker)


def free_port():
    """One that is free for UDP and for TCP: servers want both."""
    with socket.create_server(("127.0.0.1", 0)) as tcp:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.bind(tcp.getsockname())
            return udp.getsockname()[1]


resolver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
resolver.bind(("127.0.0.1", 0))
threading.Thread(target=resolve, args=(resolver,), daemon=True).start()
with open(f"{box}/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql") as tables:
    schema = tables.read()


def ask(port, name, kind):
    return dns.query.udp(dns.message.make_query(name, kind), "127.0.0.1", 5, port)


def wait_for(port, name, kind):
    last = time.monotonic() + 15
    while time.monotonic() < last:
        with contextlib.suppress(dns.exception.DNSException, OSError):
            if ask(port, name, kind).answer:
                return
        time.sleep(0.1)
    raise SystemExit("a server does not answer")


def shown(answer):
    code = dns.rcode.to_text(answer.rcode())
    records = [str(each) for rrset in answer.answer for each in rrset]
    return f"{code}, {' '.join(records) or 'nothing'}"


def look(expanded):
    """What PowerDNS and its secondary say of the apex, once the zone was transferred."""
    at = f"{box}/{expanded}"
    os.mkdir(at)
    primary, secondary = free_port(), free_port()
    with contextlib.closing(sqlite3.connect(f"{at}/pdns.db")) as database:
        database.executescript(schema)
        database.execute("INSERT INTO domains (id, name, type) VALUES (1, 'shop.test', 'NATIVE')")
        into = "INSERT INTO records (domain_id, ttl, auth, name, type, content)"
        for name, kind, data in (
            ("shop.test", "SOA", "ns.shop.test hostmaster.shop.test 1 3600 600 1209600 300"),
            ("shop.test", "NS", "ns.shop.test"),
            ("ns.shop.test", "A", "127.0.0.1"),
            ("shop.test", "ALIAS", TARGET),
        ):
            database.execute(f"{into} VALUES (1, 300, 1, ?, ?, ?)", (name, kind, data))
        database.commit()
    with open(f"{at}/pdns.conf", "w") as config:
        config.write(f"""module-dir={libraries}/pdns
launch=gsqlite3
gsqlite3-database={at}/pdns.db
local-address=127.0.0.1
local-port={primary}
socket-dir={at}
expand-alias=yes
outgoing-axfr-expand-alias={expanded}
resolver=127.0.0.1:{resolver.getsockname()[1]}
allow-axfr-ips=127.0.0.0/8
setuid=
setgid=
security-poll-suffix=
""")
    with open(f"{at}/named.conf", "w") as config:
        config.write(f"""options {{
 directory "{at}"; pid-file none; session-keyfile none; recursion no; dnssec-validation no;
 listen-on port {secondary} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; }};
controls {{ }};
zone "shop.test" {{ type secondary; primaries {{ 127.0.0.1 port {primary}; }}; file "zone"; }};
""")
    with open(f"{at}/servers.log", "w") as log, contextlib.ExitStack() as stack:

        def start(*command, **more):
            process = subprocess.Popen(command, stdout=log, stderr=log, **more)
            stack.callback(process.wait, 10)
            stack.callback(process.terminate)

        own = {**os.environ, "LD_LIBRARY_PATH": libraries}
        start("pdns_server", f"--config-dir={at}", "--daemon=no", "--guardian=no", env=own)
        wait_for(primary, "ns.shop.test", "A")
        start("named", "-g", "-c", f"{at}/named.conf")
        wait_for(secondary, "ns.shop.test", "A")
        for server, port in (("PowerDNS", primary), ("BIND", secondary)):
            print(f"expanded: {expanded}; {server}: {shown(ask(port, 'shop.test', 'A'))}")
        kinds = sorted({dns.rdatatype.to_text(each.rdtype) for each in transferred(primary)})
        print(f"  in the transfer: {' '.join(kinds)}", flush=True)


def transferred(port):
    for message in dns.query.xfr("127.0.0.1", "shop.test", port=port, timeout=5, relativize=False):
        yield from (each for each in message.answer if str(each.name) == "shop.test.")


look("no")
look("yes")
END
)
expected="expanded: no; PowerDNS: NOERROR, 192.0.2.7
expanded: no; BIND: NOERROR, nothing
  in the transfer: NS SOA TYPE65401
expanded: yes; PowerDNS: NOERROR, 192.0.2.7
expanded: yes; BIND: NOERROR, 192.0.2.7
  in the transfer: A NS SOA"
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
  printf 'CHANGED; it was:\n%s\n' "$expected"
  exit 1
fi
echo "as found"
