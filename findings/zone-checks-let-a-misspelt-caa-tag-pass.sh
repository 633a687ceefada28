#!/usr/bin/env bash
# No checker of zones minds a CAA record whose tag does not exist; one of them refuses a record that
# the others serve.
#
# VERSION named-checkzone of BIND 9.18.49, kzonecheck of Knot DNS 3.2.6, nsd-checkzone of NSD 4.6.1
#         (Debian 12); octoDNS 1.22.0 (octodns-validate, as it comes)
# GUESS   They refuse, or warn of, a tag that nobody knows ("isue"), a flag of 1 where 128 is the
#         critical one, and a value that can be no authority's name: CAA has three tags that matter,
#         and each tool knows the type.
# SEEN    All four take all of these without a word. And NSD refuses the tag in capitals: "ISSUE" means
#         what "issue" does (RFC 8659), if its text form is to have small letters. Such a zone is not
#         served at all.
# HERE    A record that was to let one more authority issue lets nobody. It looks right to people and
#         to every tool until the renewal months later is refused.
set -eu
box=$(mktemp -d)
trap 'rm -rf "$box"' EXIT
export PATH="$PATH:/usr/sbin:/sbin:$box/usr/sbin:$box/usr/bin"
(cd "$box" && apt-get -q download knot-dnssecutils=3.2.6-1 libknot13=3.2.6-1 libdnssec9=3.2.6-1 \
  libzscanner4=3.2.6-1 liburcu8 nsd bind9-utils && for each in ./*.deb; do dpkg-deb -x "$each" .
done) >"$box/log" 2>&1 || true
version() { { "$@" || true; } 2>&1 | grep -oE '[0-9]+\.[0-9]+\.[0-9]+' | head -n 1 || true; }
libraries=$box/usr/lib/x86_64-linux-gnu
had="$(version named-checkzone -v) $(LD_LIBRARY_PATH=$libraries version kzonecheck --version)"
had="$had $(version nsd -v)"
if [ "$had" != "9.18.49 3.2.6 4.6.1" ]; then
  echo "cannot be had: BIND 9.18.49, Knot DNS 3.2.6, NSD 4.6.1 (Debian 12, amd64)"
  exit 77
fi
if ! { python3 -m venv "$box/v" && "$box/v/bin/pip" -q --disable-pip-version-check install \
  octodns==1.22.0; } >"$box/log" 2>&1; then
  echo "cannot be had: octoDNS 1.22.0 could not be installed"
  exit 77
fi
seen=$("$box/v/bin/python" - "$box" "$libraries" <<'END'
import os
import subprocess
import sys

box, libraries = sys.argv[1:]
RECORDS = {
    "right": (0, "issue", "ca.example"),
    "misspelt tag": (0, "isue", "ca.example"),
    "flag 1": (1, "issue", "ca.example"),
    "no name": (0, "issue", "the ca"),
    "capitals": (0, "ISSUE", "ca.example"),
}
own = {**os.environ, "LD_LIBRARY_PATH": libraries}


def write(path, text):
    os.makedirs(os.path.dirname(f"{box}/{path}"), exist_ok=True)
    with open(f"{box}/{path}", "w") as file:
        file.write(text)
    return f"{box}/{path}"


def verdict(command, environment=None):
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30)
    said = (ended.stdout + ended.stderr).lower()
    return "refused" if ended.returncode else "warned of" if "warn" in said else "taken"


for number, (what, (flags, tag, value)) in enumerate(RECORDS.items()):
    zone = write(f"{number}/zone", f"""$ORIGIN shop.test.
$TTL 300
@ SOA ns hostmaster 1 3600 600 1209600 300
@ NS ns
ns A 127.0.0.1
@ CAA {flags} {tag} "{value}"
""")
    write(f"{number}/shop.test.yaml", f""""":
- {{type: CAA, value: {{flags: {flags}, tag: {tag}, value: "{value}"}}}}
- {{type: NS, value: ns.shop.test.}}
ns: {{type: A, value: 127.0.0.1}}
""")
    config = write(f"{number}/config.yaml", f"""providers:
  here: {{class: octodns.provider.yaml.YamlProvider, directory: {box}/{number}}}
zones:
  shop.test.: {{sources: [here], targets: [here]}}
""")
    said = {
        "BIND": verdict(["named-checkzone", "shop.test", zone]),
        "Knot": verdict(["kzonecheck", "-o", "shop.test", zone], own),
        "NSD": verdict(["nsd-checkzone", "shop.test", zone]),
        "octoDNS": verdict([f"{box}/v/bin/octodns-validate", "--config-file", config]),
    }
    print(f"{what}: {', '.join(f'{tool} {word}' for tool, word in said.items())}", flush=True)
END
)
expected="right: BIND taken, Knot taken, NSD taken, octoDNS taken
misspelt tag: BIND taken, Knot taken, NSD taken, octoDNS taken
flag 1: BIND taken, Knot taken, NSD taken, octoDNS taken
no name: BIND taken, Knot taken, NSD taken, octoDNS taken
capitals: BIND taken, Knot taken, NSD refused, octoDNS taken"
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
  printf 'CHANGED; it was:\n%s\n' "$expected"
  exit 1
fi
echo "as found"
