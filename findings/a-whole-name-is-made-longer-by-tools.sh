#!/usr/bin/env bash
# Tools that place records put the zone's name behind a name that ends in it already: one of them behind
# a name with its final dot as well, and one behind the target of every delegation.
#
# VERSION nsupdate of BIND 9.18.49, knotc and knotd of Knot DNS 3.2.6, PowerDNS 4.7.3 with SQLite: its
#         API and pdnsutil (Debian 12); dnspython 2.9.2 (its DNS updates), octoDNS 1.22.0 with
#         octodns-bind 1.1.0, dns-lexicon 3.25.2 with its provider for PowerDNS
# GUESS   knotc and dnspython read a name without a final dot as one within the zone. pdnsutil, lexicon
#         and nsupdate know a whole name when they see one; octoDNS and the API refuse it, and a target
#         without its dot. With the dot each of them takes the name, and the target, as it is.
# SEEN    pdnsutil and octoDNS double the zone's name as well, and pdnsutil does so even behind a final
#         dot, which octoDNS refuses. octoDNS takes a target without its dot and puts the zone's name
#         behind it. So does lexicon, whether the dot is there or not: no CNAME of its leaves the zone.
#         None of them says a word.
# HERE    Cloudflare shows whole names, and no final dots: "_acme-challenge.www.shop.test". Copied as
#         it is shown, the token stands at "_acme-challenge.www.shop.test.shop.test", the tool said
#         that all went well, and the validation times out.
set -eu
box=$(mktemp -d)
trap 'rm -rf "$box"' EXIT
export PATH="$PATH:/usr/sbin:/sbin:$box/usr/sbin:$box/usr/bin"
(cd "$box" && apt-get -q download knot=3.2.6-1 libknot13=3.2.6-1 libdnssec9=3.2.6-1 \
  libzscanner4=3.2.6-1 liburcu8 pdns-server=4.7.3-2 pdns-backend-sqlite3=4.7.3-2 \
  libboost-program-options1.74.0 && for each in ./*.deb; do dpkg-deb -x "$each" .; done) \
  >"$box/log" 2>&1 || true
version() { { "$@" || true; } 2>&1 | grep -oE '[0-9]+\.[0-9]+\.[0-9]+' | head -n 1 || true; }
libraries=$box/usr/lib/x86_64-linux-gnu
had="$(version nsupdate -V) $(LD_LIBRARY_PATH=$libraries version knotd --version)"
had="$had $(LD_LIBRARY_PATH=$libraries version pdns_server --version)"
if [ "$had" != "9.18.49 3.2.6 4.7.3" ]; then
  echo "cannot be had: nsupdate of BIND 9.18.49, Knot DNS 3.2.6, PowerDNS 4.7.3 (Debian 12, amd64)"
  exit 77
fi
if ! { python3 -m venv "$box/v" && "$box/v/bin/pip" -q --disable-pip-version-check install \
  dnspython==2.9.2 octodns==1.22.0 octodns-bind==1.1.0 dns-lexicon==3.25.2; } >"$box/log" 2>&1; then
  echo "cannot be had: dnspython 2.9.2, octodns 1.22.0, octodns-bind 1.1.0, dns-lexicon 3.25.2"
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
import urllib.error
import urllib.request

import dns.exception
import dns.message
import dns.query
import dns.update

box, libraries = sys.argv[1:]
own = {**os.environ, "LD_LIBRARY_PATH": libraries}
NAME = "_acme-challenge.www.shop.test"
TARGET = "www.shop.test.0123456789abcdef.dcv.cloudflare.com"
PLACES = {"right": f"{NAME}.", "at a doubled name": f"{NAME}.shop.test."}


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


def run(*command, given="", environment=own):
    ended = subprocess.run(
        command, input=given, env=environment, capture_output=True, text=True, timeout=60
    )
    return ended.returncode == 0


knot, powerdns, api = free_port(), free_port(), free_port()
write("knot/zone", """$ORIGIN shop.test.
$TTL 0
@ SOA ns hostmaster 1 3600 600 1209600 0
@ NS ns
ns A 127.0.0.1
""")
write("knot.conf", f"""server:
    rundir: {box}
    listen: 127.0.0.1@{knot}
control:
    listen: {box}/knot.sock
database:
    storage: {box}/knot
acl:
  - id: here
    address: 127.0.0.1
    action: [update, transfer]
zone:
  - domain: shop.test
    file: {box}/knot/zone
    acl: here
""")
with contextlib.closing(sqlite3.connect(f"{box}/pdns.db")) as database:
    with open(f"{box}/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql") as tables:
        database.executescript(tables.read())
    database.commit()
write("pdns/pdns.conf", f"""module-dir={libraries}/pdns
launch=gsqlite3
gsqlite3-database={box}/pdns.db
local-address=127.0.0.1
local-port={powerdns}
socket-dir={box}/pdns
api=yes
api-key=key
webserver=yes
webserver-address=127.0.0.1
webserver-port={api}
setuid=
setgid=
security-poll-suffix=
cache-ttl=0
query-cache-ttl=0
negquery-cache-ttl=0
zone-cache-refresh-interval=0
""")
write("octodns.yaml", f"""providers:
  config: {{class: octodns.provider.yaml.YamlProvider, directory: {box}/zones,
           enforce_order: false, default_ttl: 60}}
  bind: {{class: octodns_bind.Rfc2136Provider, host: 127.0.0.1, port: {knot}}}
zones:
  shop.test.: {{sources: [config], targets: [bind]}}
""")
# lexicon asks a resolver which zone it is; here that is the name server itself.
write("run_lexicon.py", f"""import sys

import dns.resolver
from lexicon._private.cli import main

dns.resolver.default_resolver = dns.resolver.Resolver(configure=False)
dns.resolver.default_resolver.nameservers = ["127.0.0.1"]
dns.resolver.default_resolver.port = {knot}
sys.exit(main())
""")


def pdnsutil(*words):
    return run("pdnsutil", f"--config-dir={box}/pdns", *words)


def written(kind, content):
    return f'"{content}"' if kind == "TXT" else content


def by_pdnsutil(name, kind, content):
    return pdnsutil("add-record", "shop.test", name, kind, "0", written(kind, content))


def by_api(name, kind, content):
    change = {"name": name, "type": kind, "ttl": 0, "changetype": "REPLACE"}
    change["records"] = [{"content": written(kind, content), "disabled": False}]
    request = urllib.request.Request(
        f"http://127.0.0.1:{api}/api/v1/servers/localhost/zones/shop.test.",
        json.dumps({"rrsets": [change]}).encode(),
        {"X-API-Key": "key", "Content-Type": "application/json"},
        method="PATCH",
    )
    with contextlib.suppress(urllib.error.HTTPError):
        urllib.request.urlopen(request, timeout=10).close()
        return True
    return False


def by_knotc(name, kind, content):
    knotc = ["knotc", "-s", f"{box}/knot.sock"]
    run(*knotc, "zone-begin", "shop.test")
    placed = run(*knotc, "zone-set", "shop.test", name, "0", kind, content)
    return run(*knotc, "zone-commit", "shop.test") and placed


def by_nsupdate(name, kind, content):
    lines = f"server 127.0.0.1 {knot}\nzone shop.test\nupdate add {name} 0 {kind} {content}\n"
    return run("nsupdate", given=f"{lines}send\n", environment=None)


def update(act, *what):
    message = dns.update.UpdateMessage("shop.test")
    getattr(message, act)(*what)
    return dns.query.tcp(message, "127.0.0.1", 5, knot).rcode() == 0


def by_dnspython(name, kind, content):
    return update("add", name, 0, kind, content)


def by_lexicon(name, kind, content):
    command = [sys.executable, f"{box}/run_lexicon.py", "powerdns", "--auth-token", "key"]
    command += ["--pdns-server", f"http://127.0.0.1:{api}", "create", "shop.test", kind]
    return run(*command, "--name", name, "--content", content, environment=None)


def by_octodns(name, kind, content):
    others = "'': {type: NS, value: ns.shop.test.}\nns: {type: A, value: 127.0.0.1}\n"
    write("zones/shop.test.yaml", f"{others}{name}: {{type: {kind}, value: {content}}}\n")
    sync = [f"{box}/v/bin/octodns-sync", f"--config-file={box}/octodns.yaml"]
    return run(*sync, "--doit", "--force", environment=None)


def ask(port, name, kind):
    with contextlib.suppress(dns.exception.Timeout, OSError):
        query = dns.message.make_query(name, kind)
        return dns.query.udp(query, "127.0.0.1", 1, port).answer
    return []


def found(port, kind):
    for where, name in PLACES.items():
        for rrset in ask(port, name, kind):
            wrong = kind == "CNAME" and str(rrset[0]) != f"{TARGET}."
            return where + (", to a target in the zone" if wrong else "")
    return "nowhere"


def clean():
    """The same zone at both name servers, without what was placed."""
    pdnsutil("delete-zone", "shop.test")
    pdnsutil("create-zone", "shop.test", "ns.shop.test")
    pdnsutil("add-record", "shop.test", "ns", "A", "60", "127.0.0.1")
    for name in PLACES.values():
        update("delete", name, "TXT")
        update("delete", name, "CNAME")


def wait_for(port):
    last = time.monotonic() + 15
    while not ask(port, "ns.shop.test", "A"):
        if time.monotonic() > last:
            raise SystemExit("a server does not answer")
        time.sleep(0.1)


WAYS = {
    "nsupdate": (by_nsupdate, knot),
    "PowerDNS' API": (by_api, powerdns),
    "knotc": (by_knotc, knot),
    "dnspython": (by_dnspython, knot),
    "octoDNS": (by_octodns, knot),
    "pdnsutil": (by_pdnsutil, powerdns),
    "lexicon": (by_lexicon, powerdns),
}
with open(f"{box}/servers.log", "w") as log, contextlib.ExitStack() as stack:
    for command in (
        ["knotd", "-c", f"{box}/knot.conf"],
        ["pdns_server", f"--config-dir={box}/pdns", "--daemon=no", "--guardian=no"],
    ):
        process = subprocess.Popen(command, env=own, stdout=log, stderr=log)
        stack.callback(process.wait, 10)
        stack.callback(process.terminate)
    wait_for(knot)
    clean()
    wait_for(powerdns)
    for what, (place, port) in WAYS.items():
        for dot, how in {"": "as shown", ".": "with final dots"}.items():
            said = []
            for kind, content in {"TXT": "token", "CNAME": TARGET + dot}.items():
                clean()
                done = place(NAME + dot, kind, content)
                said.append(f"{kind} {found(port, kind) if done else 'refused'}")
            print(f"{what}, {how}: {'; '.join(said)}", flush=True)
END
)
wrong="TXT at a doubled name; CNAME at a doubled name"
expected="nsupdate, as shown: TXT right; CNAME right
nsupdate, with final dots: TXT right; CNAME right
PowerDNS' API, as shown: TXT refused; CNAME refused
PowerDNS' API, with final dots: TXT right; CNAME right
knotc, as shown: $wrong, to a target in the zone
knotc, with final dots: TXT right; CNAME right
dnspython, as shown: $wrong, to a target in the zone
dnspython, with final dots: TXT right; CNAME right
octoDNS, as shown: $wrong, to a target in the zone
octoDNS, with final dots: TXT refused; CNAME refused
pdnsutil, as shown: $wrong
pdnsutil, with final dots: $wrong
lexicon, as shown: TXT right; CNAME right, to a target in the zone
lexicon, with final dots: TXT right; CNAME right, to a target in the zone"
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
  printf 'CHANGED; it was:\n%s\n' "$expected"
  exit 1
fi
echo "as found"
