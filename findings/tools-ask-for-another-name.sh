#!/usr/bin/env bash
# For one challenged name with an ß, tools ask DNS for three different names: dig for another in a
# script than on a terminal, dnspython for another with an old package beside it.
#
# VERSION dig and host of BIND 9.18.49 (Debian 12), dnspython 2.9.2, idna 3.19 and 3.20, Python 3
# GUESS   Today's tools write straße.example as xn--strae-oqa.example (IDNA 2008); a label such as
#         _acme-challenge, which needs no writing, is left as it is.
# SEEN    dig does so on a terminal. Into a pipe or a file, dig sends the bytes of UTF-8 as they are,
#         and so does host: a name that nobody has. dnspython does so beside idna 3.20; beside an
#         older one, or none, it asks for strasse.example, as Python's own codec does: another
#         domain, perhaps of another owner. The package idna refuses the name for its underscore.
# HERE    A script that waits for a token, `dig +short TXT NAME | grep TOKEN`, waits in vain for what
#         dig shows by hand. Give names in their ASCII form, as the records of a pack have them.
set -eu
box=$(mktemp -d)
trap 'rm -rf "$box"' EXIT
if ! dig -v 2>&1 | grep -q "9\.18\.49" || ! command -v host >"$box/log"; then
  echo "cannot be had: dig and host of BIND 9.18.49 (Debian 12: bind9-dnsutils, bind9-host)"
  exit 77
fi
if ! { python3 -m venv "$box/v" && "$box/v/bin/pip" -q --disable-pip-version-check install \
  dnspython==2.9.2 && for each in 3.19 3.20; do "$box/v/bin/pip" -q --disable-pip-version-check \
  install --target "$box/$each" "idna==$each"; done; } >"$box/log" 2>&1; then
  echo "cannot be had: dnspython 2.9.2, idna 3.19 and 3.20 could not be installed"
  exit 77
fi
seen=$(LC_ALL=C.UTF-8 "$box/v/bin/python" - "$box" <<'END'
import os
import pty
import socket
import subprocess
import sys
import threading

import dns.message

box = sys.argv[1]
NAME = "_acme-challenge.straße.example"
asked = []


def answer(sock):
    while True:
        wire, asker = sock.recvfrom(4096)
        query = dns.message.from_wire(wire)
        asked.append(query.question[0].name.to_text(omit_final_dot=True))
        sock.sendto(dns.message.make_response(query, recursion_available=True).to_wire(), asker)


def show(how):
    print(f"{how}: {asked[-1] if asked else 'nothing'}", flush=True)
    asked.clear()


server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 0))
port = server.getsockname()[1]
threading.Thread(target=answer, args=(server,), daemon=True).start()
dig = ["dig", "@127.0.0.1", "-p", str(port), "+tries=1", "TXT", NAME]
_, terminal = pty.openpty()
subprocess.run(dig, stdout=terminal, timeout=20)
show("dig, on a terminal")
subprocess.run(dig, stdout=subprocess.PIPE, timeout=20)
show("dig, into a pipe")
subprocess.run(["host", "-p", str(port), "-t", "TXT", NAME, "127.0.0.1"], stdout=subprocess.PIPE)
show("host")
ASK = f"""
import dns.resolver
resolver = dns.resolver.Resolver(configure=False)
resolver.nameservers, resolver.port = ["127.0.0.1"], {port}
resolver.resolve({NAME!r}, "TXT", raise_on_no_answer=False)
"""
for beside in ("", "3.19", "3.20"):
    environment = {**os.environ, "PYTHONPATH": f"{box}/{beside}" if beside else ""}
    subprocess.run([sys.executable, "-c", ASK], env=environment, check=True, timeout=20)
    show(f"dnspython beside {'idna ' + beside if beside else 'no idna'}")
print(f"Python's codec: {NAME.encode('idna').decode()}")
sys.path.insert(0, f"{box}/3.20")
import idna

try:
    print(f"idna: {idna.encode(NAME, uts46=True).decode()}")
except idna.IDNAError as fault:
    print(f"idna: {type(fault).__name__}")
print(f"idna, the host alone: {idna.encode(NAME.partition('.')[2], uts46=True).decode()}")
END
)
expected='dig, on a terminal: _acme-challenge.xn--strae-oqa.example
dig, into a pipe: _acme-challenge.stra\195\159e.example
host: _acme-challenge.stra\195\159e.example
dnspython beside no idna: _acme-challenge.strasse.example
dnspython beside idna 3.19: _acme-challenge.strasse.example
dnspython beside idna 3.20: _acme-challenge.xn--strae-oqa.example
Python'"'"'s codec: _acme-challenge.strasse.example
idna: InvalidCodepoint
idna, the host alone: xn--strae-oqa.example'
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
  printf 'CHANGED; it was:\n%s\n' "$expected"
  exit 1
fi
echo "as found"
