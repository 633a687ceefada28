#!/usr/bin/env bash
# Through systemd-resolved a question with "checking disabled" is checked all the same, and nobody
# hears why a resolver failed; with DO set besides, the question passes as it is.
#
# VERSION systemd-resolved 252 (Debian 12; DNSSEC=no, its default there), dnspython 2.9.2
# GUESS   The stub (127.0.0.53 on many machines) hands on the CD bit, so that a SERVFAIL for a
#         broken signature turns into an answer, and it hands back the resolver's extended error.
# SEEN    CD alone reaches no resolver, and the answer stays SERVFAIL without an extended error.
#         CD with DO goes through: NOERROR with the record.
# HERE    "SERVFAIL, but an answer with CD" is how one tells broken signatures from dead name
#         servers. Behind this stub the first kind looks like the second, unless DO is set too.
set -eu
box=$(mktemp -d)
trap 'rm -rf "$box"' EXIT
daemon=/lib/systemd/systemd-resolved
if ! [ -x "$daemon" ]; then
  (cd "$box" && apt-get -q download systemd-resolved && dpkg-deb -x ./*.deb .) \
    >"$box/log" 2>&1 || true
  daemon=$box/lib/systemd/systemd-resolved
fi
if ! [ "$(id -u)" = 0 ] || ! unshare -m true 2>/dev/null ||
  ! "$daemon" --version 2>/dev/null | grep -q "^systemd 252 "; then
  echo "cannot be had: systemd-resolved 252 (Debian 12), and root for mounts of its own"
  exit 77
fi
if ! { python3 -m venv "$box/v" &&
  "$box/v/bin/pip" -q --disable-pip-version-check install dnspython==2.9.2; } >"$box/log" 2>&1
then
  echo "cannot be had: dnspython 2.9.2 could not be installed"
  exit 77
fi
# It runs with mounts of its own: no bus, no settings, no state and no user of this machine.
cat >"$box/start" <<'END'
set -eu
mount --make-rprivate /
mount -t tmpfs none /run
mount -t tmpfs none /etc/systemd
mkdir -p /run/systemd/resolve
cp "$1/resolved.conf" /etc/systemd/resolved.conf
mount --bind "$1/passwd" /etc/passwd
exec "$2"
END
{ cat /etc/passwd && echo "systemd-resolve:x:0:0::/:/bin/false"; } >"$box/passwd"
seen=$("$box/v/bin/python" - "$box" "$daemon" <<'END'
import contextlib
import socket
import subprocess
import sys
import threading
import time

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rrset

box, daemon = sys.argv[1:]
CAA = dns.rrset.from_text("broken.example.", 60, "IN", "CAA", '0 issue "ca.example"')
arrived = []


def resolver(sock):
    """One that validates: SERVFAIL with its reason, and the record for who wants no checks."""
    while True:
        wire, asker = sock.recvfrom(4096)
        query = dns.message.from_wire(wire)
        unchecked = bool(query.flags & dns.flags.CD)
        name = query.question[0].name
        if name == CAA.name and query.question[0].rdtype == CAA.rdtype:
            arrived.append(unchecked)
        answer = dns.message.make_response(query, recursion_available=True)
        if unchecked and name == CAA.name:
            answer.answer = [CAA]
        elif name == CAA.name:
            answer.set_rcode(dns.rcode.SERVFAIL)
            answer.use_edns(options=[dns.edns.EDEOption(dns.edns.EDECode.DNSSEC_BOGUS)])
        sock.sendto(answer.to_wire(), asker)


def bound():
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    return sock, sock.getsockname()[1]


def ask(port, cd=False, do=False, patience=5):
    query = dns.message.make_query(CAA.name, "CAA", use_edns=0, want_dnssec=do)
    query.flags |= dns.flags.CD if cd else 0
    arrived.clear()
    answer = dns.query.udp(query, "127.0.0.1", patience, port)
    errors = [int(each.code) for each in answer.options if each.otype == dns.edns.EDE]
    rcode = dns.rcode.to_text(answer.rcode())
    return f"{rcode}, records {len(answer.answer)}, extended errors {errors}"


behind, behind_port = bound()
threading.Thread(target=resolver, args=(behind,), daemon=True).start()
free, port = bound()
free.close()
with open(f"{box}/resolved.conf", "w") as config:
    config.write(f"""[Resolve]
DNS=127.0.0.1:{behind_port}
Domains=~.
DNSSEC=no
Cache=no
LLMNR=no
MulticastDNS=no
DNSStubListener=no
DNSStubListenerExtra=127.0.0.1:{port}
""")
print(f"resolver itself: {ask(behind_port)}")
print(f"resolver itself, CD: {ask(behind_port, cd=True)}")
command = ["unshare", "-m", "bash", f"{box}/start", box, daemon]
with open(f"{box}/resolved.log", "w") as log:
    process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        last = time.monotonic() + 15
        while time.monotonic() < last:
            with contextlib.suppress(dns.exception.Timeout, OSError):
                ask(port, patience=1)
                break
            time.sleep(0.1)
        for how in ({}, {"cd": True}, {"do": True}, {"cd": True, "do": True}):
            told = ask(port, **how)
            bits = " ".join(each.upper() for each in how) or "plain"
            print(f"stub, {bits}: {told}; arrived with CD: {any(arrived)}")
    finally:
        process.terminate()
        process.wait(10)
END
)
expected="resolver itself: SERVFAIL, records 0, extended errors [6]
resolver itself, CD: NOERROR, records 1, extended errors []
stub, plain: SERVFAIL, records 0, extended errors []; arrived with CD: False
stub, CD: SERVFAIL, records 0, extended errors []; arrived with CD: False
stub, DO: SERVFAIL, records 0, extended errors []; arrived with CD: False
stub, CD DO: NOERROR, records 1, extended errors []; arrived with CD: True"
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
  printf 'CHANGED; it was:\n%s\n' "$expected"
  exit 1
fi
echo "as found"
