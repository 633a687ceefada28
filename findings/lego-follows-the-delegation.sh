#!/usr/bin/env bash
# Where _acme-challenge is delegated by a CNAME, lego places its token at the CNAME's target.
#
# VERSION lego 4.9.1, pebble 2.4.0 (Debian 12), dnspython 2.9.2
# GUESS   lego asks the DNS provider for a TXT record at _acme-challenge.HOST; that a CNAME is there
#         matters only to the provider, which refuses it. Following the CNAME is asked for by
#         LEGO_EXPERIMENTAL_CNAME_SUPPORT.
# SEEN    It follows by itself, and asks for the record at the target. LEGO_DISABLE_CNAME_SUPPORT
#         turns that off, and helps nobody: the authority follows the CNAME too.
# HERE    The CNAME of delegated DCV (HOST.UUID.dcv.cloudflare.com) leads to a zone of Cloudflare's.
#         A server behind Cloudflare that gets its own certificates for the host by dns-01 is
#         renewed no more from then on: whoever delegates takes dns-01 from everybody else.
set -eu
box=$(mktemp -d)
trap 'rm -rf "$box"' EXIT
if ! (cd "$box" && apt-get -q download lego=4.9.1-1 pebble=2.4.0+ds1-2+b4 &&
  for each in ./*.deb; do dpkg-deb -x "$each" .; done && usr/bin/lego --version) \
  >"$box/log" 2>&1; then
  echo "cannot be had: lego 4.9.1 and pebble 2.4.0 (Debian 12)"
  exit 77
fi
if ! { python3 -m venv "$box/v" && "$box/v/bin/pip" -q --disable-pip-version-check install \
  dnspython==2.9.2 trustme==1.2.1; } >"$box/log" 2>&1; then
  echo "cannot be had: dnspython 2.9.2 and trustme 1.2.1 could not be installed"
  exit 77
fi
# lego's provider "exec": the program gets what is to be done, the name and the value.
cat >"$box/place" <<'END'
#!/bin/sh
echo "$@" >>"$(dirname "$0")/placed"
END
chmod +x "$box/place"
seen=$("$box/v/bin/python" - "$box" <<'END'
import json
import os
import socket
import subprocess
import sys
import threading
import time

import dns.message
import dns.name
import dns.rdatatype
import dns.rrset
import trustme

box = sys.argv[1]
ZONE = dns.name.from_text("shop.test")
CNAME = dns.rrset.from_text(
    "_acme-challenge.given.shop.test.", 60, "IN", "CNAME", "given.shop.test.0123.dcv.test."
)


def placed():
    """What lego had placed: what is to be done, a name and a value each."""
    if not os.path.exists(f"{box}/placed"):
        return []
    with open(f"{box}/placed") as file:
        return [line.split() for line in file]


def told(query):
    """What the name servers of shop.test say, and of dcv.test, to which nobody here has access."""
    answer = dns.message.make_response(query, recursion_available=True)
    name, kind = query.question[0].name, query.question[0].rdtype
    apex = ZONE if name.is_subdomain(ZONE) else dns.name.from_text("dcv.test")
    soa = dns.rrset.from_text(apex, 60, "IN", "SOA", "ns.test. h.test. 1 3600 600 86400 60")
    texts = [value for what, where, value in placed() if dns.name.from_text(where) == name]
    if name == CNAME.name:
        answer.answer = [CNAME]
    elif name == apex and kind == dns.rdatatype.SOA:
        answer.answer = [soa]
    elif name.is_subdomain(ZONE) and kind == dns.rdatatype.TXT and texts:
        answer.answer = [dns.rrset.from_text(name, 60, "IN", "TXT", *texts)]
    elif name.is_subdomain(ZONE) and kind == dns.rdatatype.A:
        answer.answer = [dns.rrset.from_text(name, 60, "IN", "A", "127.0.0.1")]
    else:
        answer.authority = [soa]
    return answer


def serve(sock):
    while True:
        wire, asker = sock.recvfrom(4096)
        sock.sendto(told(dns.message.from_wire(wire)).to_wire(), asker)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
names.bind(("127.0.0.1", 0))
resolver = f"127.0.0.1:{names.getsockname()[1]}"
threading.Thread(target=serve, args=(names,), daemon=True).start()
authority = trustme.CA()
authority.cert_pem.write_to_path(f"{box}/trusted.pem")
own = authority.issue_cert("127.0.0.1")
own.private_key_pem.write_to_path(f"{box}/key.pem")
own.cert_chain_pems[0].write_to_path(f"{box}/certificate.pem")
acme = f"127.0.0.1:{free_port()}"
with open(f"{box}/pebble.json", "w") as config:
    settings = {"listenAddress": acme, "managementListenAddress": f"127.0.0.1:{free_port()}"}
    settings |= {"certificate": f"{box}/certificate.pem", "privateKey": f"{box}/key.pem"}
    json.dump({"pebble": {**settings, "httpPort": 5002, "tlsPort": 5001}}, config)
log = open(f"{box}/programs.log", "w")
quick = {**os.environ, "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"}
command = [f"{box}/usr/bin/pebble", f"-config={box}/pebble.json", f"-dnsserver={resolver}"]
pebble = subprocess.Popen(command, env=quick, stdout=log, stderr=log)


def issue(host, **more):
    if os.path.exists(f"{box}/placed"):
        os.remove(f"{box}/placed")
    command = [f"{box}/usr/bin/lego", f"--path={box}/lego", "--accept-tos", "--email=a@shop.test"]
    command += [f"--server=https://{acme}/dir", "--dns=exec", f"--dns.resolvers={resolver}"]
    command += ["--dns.disable-cp", f"--domains={host}", "run"]
    told = {"LEGO_CA_CERTIFICATES": f"{box}/trusted.pem", "EXEC_PATH": f"{box}/place"}
    ended = subprocess.run(command, env={**os.environ, **told, **more}, stdout=log, stderr=log)
    where = ", ".join(name for what, name, _ in placed() if what == "present")
    return f"a record at {where}; certificate: {'issued' if ended.returncode == 0 else 'none'}"


try:
    last = time.monotonic() + 15
    while time.monotonic() < last:
        with socket.socket() as sock:
            host, port = acme.split(":")
            if sock.connect_ex((host, int(port))) == 0:
                break
        time.sleep(0.1)
    print(f"plain.shop.test: {issue('plain.shop.test')}")
    print(f"given.shop.test: {issue('given.shop.test')}")
    told = issue("given.shop.test", LEGO_DISABLE_CNAME_SUPPORT="true")
    print(f"given.shop.test, not followed: {told}")
finally:
    pebble.terminate()
    pebble.wait(10)
END
)
expected="plain.shop.test: a record at _acme-challenge.plain.shop.test.; certificate: issued
given.shop.test: a record at given.shop.test.0123.dcv.test.; certificate: none
given.shop.test, not followed: a record at _acme-challenge.given.shop.test.; certificate: none"
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
  printf 'CHANGED; it was:\n%s\n' "$expected"
  exit 1
fi
echo "as found"
