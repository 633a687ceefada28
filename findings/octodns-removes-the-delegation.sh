#!/usr/bin/env bash
# octoDNS's processor for ACME leaves other people's tokens alone, and removes a delegation.
#
# VERSION octodns 1.22.0, octodns-bind 1.1.0; BIND 9.18.49 (Debian 12), dnspython 2.9.2
# GUESS   AcmeManagingProcessor keeps octoDNS off whatever others have placed at _acme-challenge, a
#         CNAME as well as TXT records: both are how names are validated.
# SEEN    Only TXT records are left. A CNAME at _acme-challenge that is not in octoDNS's own
#         configuration is deleted by the next sync, as any record would be. One that is in it
#         stays.
# HERE    The CNAME of delegated DCV is placed once, by hand, to end the work with tokens. The next
#         deployment of the zone takes it away, nothing fails, and the renewal months later times
#         out. It belongs into the configuration.
set -eu
box=$(mktemp -d)
trap 'rm -rf "$box"' EXIT
export PATH="$PATH:/usr/sbin:/sbin"
if ! { named -V || true; } 2>&1 | grep -q "^BIND 9\.18\.49"; then
  echo "cannot be had: BIND 9.18.49 (Debian 12: bind9)"
  exit 77
fi
if ! { python3 -m venv "$box/v" && "$box/v/bin/pip" -q --disable-pip-version-check install \
  octodns==1.22.0 octodns-bind==1.1.0 dnspython==2.9.2; } >"$box/log" 2>&1; then
  echo "cannot be had: octodns 1.22.0 and octodns-bind 1.1.0 could not be installed"
  exit 77
fi
seen=$("$box/v/bin/python" - "$box" <<'END'
import contextlib
import os
import socket
import subprocess
import sys
import time

import dns.exception
import dns.query
import dns.rdatatype
import dns.xfr
import dns.zone

box = sys.argv[1]
os.mkdir(f"{box}/zones")
DELEGATED = "shop.test.0123456789abcdef.dcv.cloudflare.com."
# What is in DNS, and, but for what others have placed, in octoDNS's configuration.
SERVED = f"""$TTL 300
@ SOA ns hostmaster 1 3600 600 1209600 300
@ NS ns
ns A 127.0.0.1
www A 127.0.0.1
_acme-challenge CNAME {DELEGATED}
_acme-challenge.shop TXT "a token that somebody placed"
"""
WANTED = """'': {type: NS, value: ns.shop.test.}
ns: {type: A, value: 127.0.0.1}
www: {type: A, value: 127.0.0.1}
"""


def write(path, text):
    with open(f"{box}/{path}", "w") as file:
        file.write(text)


with socket.create_server(("127.0.0.1", 0)) as free:
    port = free.getsockname()[1]
write("named.conf", f"""options {{
 directory "{box}"; pid-file none; session-keyfile none; recursion no; dnssec-validation no;
 listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; }};
controls {{ }};
zone "shop.test" {{ type primary; file "{box}/shop.zone";
 allow-update {{ 127.0.0.1; }}; allow-transfer {{ 127.0.0.1; }}; }};
""")
write("octodns.yaml", f"""processors:
  acme: {{class: octodns.processor.acme.AcmeManagingProcessor}}
providers:
  config: {{class: octodns.provider.yaml.YamlProvider, directory: {box}/zones,
           enforce_order: false, default_ttl: 300}}
  bind: {{class: octodns_bind.Rfc2136Provider, host: 127.0.0.1, port: {port}}}
zones:
  shop.test.: {{sources: [config], targets: [bind], processors: [acme]}}
""")


def challenges():
    zone = dns.zone.Zone("shop.test")
    dns.query.inbound_xfr("127.0.0.1", zone, port=port, timeout=5)
    found = [
        f"{dns.rdatatype.to_text(rdataset.rdtype)} at {name}"
        for name, node in zone.nodes.items()
        for rdataset in node
        if "_acme-challenge" in str(name)
    ]
    return ", ".join(sorted(found)) or "nothing"


for what, wanted in {
    "the delegation is placed by hand": WANTED,
    "it is in the configuration": WANTED
    + f"_acme-challenge: {{type: CNAME, value: {DELEGATED}}}\n",
}.items():
    write("shop.zone", SERVED)
    write("zones/shop.test.yaml", wanted)
    with contextlib.suppress(FileNotFoundError):
        os.remove(f"{box}/shop.zone.jnl")
    with open(f"{box}/output", "w") as output:
        process = subprocess.Popen(["named", "-g", "-c", f"{box}/named.conf"], stderr=output)
        try:
            last = time.monotonic() + 15
            while time.monotonic() < last:
                with contextlib.suppress(dns.exception.DNSException, OSError):
                    print(f"{what}: {challenges()}")
                    break
                time.sleep(0.1)
            sync = [f"{box}/v/bin/octodns-sync", f"--config-file={box}/octodns.yaml", "--doit"]
            subprocess.run(sync, check=True, stdout=output, stderr=output)
            print(f"after a sync: {challenges()}")
        finally:
            process.terminate()
            process.wait(10)
END
)
token="TXT at _acme-challenge.shop"
expected="the delegation is placed by hand: CNAME at _acme-challenge, $token
after a sync: $token
it is in the configuration: CNAME at _acme-challenge, $token
after a sync: CNAME at _acme-challenge, $token"
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
  printf 'CHANGED; it was:\n%s\n' "$expected"
  exit 1
fi
echo "as found"
