#!/usr/bin/env bash
# Whether a command line takes a token depends on the token: a hyphen or an underscore in it, or a
# hyphen at its start.
#
# VERSION pdnsutil of PowerDNS 4.7.3, knotc and knotd of Knot DNS 3.2.6, nsupdate of BIND 9.18.49
#         (Debian 12); dns-lexicon 3.25.2
# GUESS   A token is base64url (RFC 8555), so tools made for placing records take any of its 64
#         letters anywhere. Where one begins with a hyphen, at most one of them wants "--" before it.
# SEEN    knotc and nsupdate take all. lexicon takes one that begins with a hyphen for an option,
#         unless it is written --content=TOKEN. pdnsutil takes a bare token of letters and digits
#         alone, which is one in four; any other only in quotation marks of its own: '"TOKEN"'.
# HERE    A script that places tokens was tried and works, and fails for another host on another day,
#         by nothing but its token. After the next restart it works again.
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
  dns-lexicon==3.25.2; } >"$box/log" 2>&1; then
  echo "cannot be had: dns-lexicon 3.25.2 could not be installed"
  exit 77
fi
seen=$(python3 - "$box" "$libraries" <<'END'
import contextlib
import os
import socket
import sqlite3
import subprocess
import sys
import time

box, libraries = sys.argv[1:]
own = {**os.environ, "LD_LIBRARY_PATH": libraries}
TOKENS = {
    "letters and digits": "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ0yA1p9XR0kE",
    "a hyphen inside": "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-yA1p9XR0kE",
    "a hyphen first": "-vaGxfADs6pSRb2LAv9IZf17Dt3juxGJ0yA1p9XR0kE",
}


def free_port():
    """One that is free for UDP and for TCP: servers want both."""
    with socket.create_server(("127.0.0.1", 0)) as tcp:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.bind(tcp.getsockname())
            return udp.getsockname()[1]


def write(path, text):
    with open(f"{box}/{path}", "w") as file:
        file.write(text)


def run(*command, given="", environment=own):
    ended = subprocess.run(
        command, input=given, env=environment, capture_output=True, text=True, timeout=60
    )
    return ended.returncode, ended.stdout + ended.stderr


port = free_port()
write("zone", """shop.test. 300 SOA ns.shop.test. hostmaster.shop.test. 1 3600 600 1209600 300
shop.test. 300 NS ns.shop.test.
ns.shop.test. 300 A 127.0.0.1
""")
os.mkdir(f"{box}/knot")
write("knot.conf", f"""server:
    rundir: {box}
    listen: 127.0.0.1@{port}
control:
    listen: {box}/knot.sock
database:
    storage: {box}/knot
acl:
  - id: here
    address: 127.0.0.1
    action: update
zone:
  - domain: shop.test
    file: {box}/zone
    acl: here
""")
with contextlib.closing(sqlite3.connect(f"{box}/pdns.db")) as database:
    with open(f"{box}/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql") as tables:
        database.executescript(tables.read())
    database.execute("INSERT INTO domains (id, name, type) VALUES (1, 'shop.test', 'NATIVE')")
    database.commit()
write("pdns.conf", f"""module-dir={libraries}/pdns
launch=gsqlite3
gsqlite3-database={box}/pdns.db
""")


def by_pdnsutil(name, *content):
    command = ["pdnsutil", f"--config-dir={box}", "add-record", "shop.test", name, "TXT", "60"]
    return run(*command, *content)[0] == 0


def by_knotc(name, token):
    knotc = ["knotc", "-s", f"{box}/knot.sock"]
    run(*knotc, "zone-begin", "shop.test")
    placed = run(*knotc, "zone-set", "shop.test", name, "60", "TXT", token)[0] == 0
    return run(*knotc, "zone-commit", "shop.test")[0] == 0 and placed


def by_nsupdate(name, token):
    lines = f"server 127.0.0.1 {port}\nzone shop.test\nupdate add {name}.shop.test. 60 TXT {token}\n"
    return run("nsupdate", given=f"{lines}send\n", environment=None)[0] == 0


def by_lexicon(*content):
    # The account and the domain are made up: only whether the command line is understood counts.
    command = [f"{box}/v/bin/lexicon", "cloudflare", "--auth-token", "none"]
    command += ["create", "shop.test", "TXT", "--name", "_acme-challenge", *content]
    return "expected one argument" not in run(*command, environment=None)[1]


with open(f"{box}/knot.log", "w") as log:
    command = ["knotd", "-c", f"{box}/knot.conf"]
    process = subprocess.Popen(command, env=own, stdout=log, stderr=log)
try:
    last = time.monotonic() + 15
    while run("knotc", "-s", f"{box}/knot.sock", "zone-status", "shop.test")[0] != 0:
        if time.monotonic() > last:
            raise SystemExit("Knot does not answer")
        time.sleep(0.1)
    for number, (what, token) in enumerate(TOKENS.items()):
        name = f"_acme-challenge.{number}"
        ways = {
            "knotc": by_knotc(name, token),
            "nsupdate": by_nsupdate(f"{name}.n", token),
            "lexicon": by_lexicon("--content", token),
            "lexicon, --content=TOKEN": by_lexicon(f"--content={token}"),
            "pdnsutil": by_pdnsutil(f"{name}.a", token),
            "pdnsutil, after --": by_pdnsutil(f"{name}.b", "--", token),
            "pdnsutil, in quotation marks": by_pdnsutil(f"{name}.c", f'"{token}"'),
        }
        refused = [way for way, taken in ways.items() if not taken]
        print(f"{what}: refused by {'; '.join(refused) or 'none'}", flush=True)
finally:
    process.terminate()
    process.wait(10)
END
)
expected="letters and digits: refused by none
a hyphen inside: refused by pdnsutil; pdnsutil, after --
a hyphen first: refused by lexicon; pdnsutil; pdnsutil, after --"
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
  printf 'CHANGED; it was:\n%s\n' "$expected"
  exit 1
fi
echo "as found"
