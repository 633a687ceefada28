#!/usr/bin/env bash
# Common checks of a server's certificate call one of another name, which nobody trusts, well.
#
# VERSION monitoring-plugins 2.3.3 (check_http, check_tcp), ssl-cert-check 4.14 (Debian 12);
#         cryptography 50.0.2 for the certificates
# GUESS   A check that connects by TLS for the sake of the certificate verifies it as a visitor's
#         browser does; how many days are left is asked on top of that.
# SEEN    The days are all that is looked at: a certificate of another name, signed by an authority
#         that this machine does not know, is OK, "Valid". One that has ended is not.
# HERE    Where a pack's certificate is gone, Cloudflare's edge may serve another that it has, with
#         many days left: visitors are turned away, and these checks stay green. Check the name too,
#         or watch the pack.
set -eu
box=$(mktemp -d)
trap 'rm -rf "$box"' EXIT
(cd "$box" && apt-get -q download monitoring-plugins-basic ssl-cert-check &&
  for each in ./*.deb; do dpkg-deb -x "$each" .; done) >"$box/log" 2>&1 || true
plugins=$box/usr/lib/nagios/plugins
if ! "$plugins/check_http" --version 2>&1 | grep -q "2\.3\.3" ||
  ! grep -q "4\.14" "$box/usr/bin/ssl-cert-check" || ! command -v openssl >"$box/log"; then
  echo "cannot be had: check_http 2.3.3 and ssl-cert-check 4.14 (Debian 12), and openssl"
  exit 77
fi
if ! { python3 -m venv "$box/v" && "$box/v/bin/pip" -q --disable-pip-version-check install \
  cryptography==50.0.2; } >"$box/log" 2>&1; then
  echo "cannot be had: cryptography 50.0.2 could not be installed"
  exit 77
fi
seen=$("$box/v/bin/python" - "$box" <<'END'
import contextlib
import datetime
import socket
import ssl
import subprocess
import sys
import threading

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

box = sys.argv[1]
NOW = datetime.datetime.now(datetime.timezone.utc)
DAY = datetime.timedelta(days=1)
authority = ec.generate_private_key(ec.SECP256R1())
PEM = serialization.Encoding.PEM
ISSUER = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "an authority")])


def certificate(key, subject, ends, *extensions):
    built = x509.CertificateBuilder(ISSUER, subject, key.public_key())
    built = built.serial_number(x509.random_serial_number())
    built = built.not_valid_before(ends - 90 * DAY).not_valid_after(ends)
    for each in extensions:
        built = built.add_extension(each, critical=False)
    return built.sign(authority, hashes.SHA256()).public_bytes(PEM)


def serve(host, ends):
    """The port of a web server that has such a certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName([x509.DNSName(host)])
    with open(f"{box}/pair.pem", "wb") as file:
        raw = (PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        file.write(key.private_bytes(*raw))
        file.write(certificate(key, x509.Name([]), ends, names))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{box}/pair.pem")
    listener = socket.create_server(("127.0.0.1", 0))

    def answer():
        while True:
            with contextlib.suppress(OSError), listener.accept()[0] as plain:
                with context.wrap_socket(plain, server_side=True) as client:
                    client.recv(4096)
                    client.sendall(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")

    threading.Thread(target=answer, daemon=True).start()
    return listener.getsockname()[1]


SERVED = {
    "ends in 20 days": ("localhost", NOW + 20 * DAY),
    "ended yesterday": ("localhost", NOW - DAY),
    "of another name": ("other.example", NOW + 20 * DAY),
}
PLUGINS = f"{box}/usr/lib/nagios/plugins"
for what, served in SERVED.items():
    port = str(serve(*served))
    checks = {
        "check_http": [f"{PLUGINS}/check_http", "-S", "--sni", "-H", "localhost", "-C", "14,7"],
        "check_tcp": [f"{PLUGINS}/check_tcp", "-S", "-H", "localhost", "-D", "14,7"],
        "ssl-cert-check": [f"{box}/usr/bin/ssl-cert-check", "-n", "-x", "14", "-s", "localhost"],
    }
    for name, command in checks.items():
        ended = subprocess.run([*command, "-p", port], stdout=subprocess.PIPE, timeout=30)
        verdict = {0: "well", 2: "critical"}.get(ended.returncode, ended.returncode)
        print(f"{what}, {name}: {verdict}", flush=True)
END
)
expected="ends in 20 days, check_http: well
ends in 20 days, check_tcp: well
ends in 20 days, ssl-cert-check: well
ended yesterday, check_http: critical
ended yesterday, check_tcp: critical
ended yesterday, ssl-cert-check: critical
of another name, check_http: well
of another name, check_tcp: well
of another name, ssl-cert-check: well"
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
  printf 'CHANGED; it was:\n%s\n' "$expected"
  exit 1
fi
echo "as found"
