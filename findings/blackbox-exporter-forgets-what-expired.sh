#!/usr/bin/env bash
# Prometheus' blackbox exporter has no expiry of a certificate that has expired.
#
# VERSION prometheus-blackbox-exporter 0.23.0 (Debian 12); cryptography 50.0.2 for the certificates
# GUESS   Once a certificate has ended the probe fails (probe_success 0), and
#         probe_ssl_earliest_cert_expiry goes on with its end, now in the past.
# SEEN    The handshake fails, and no probe_ssl_ series is there at all: for an expired certificate,
#         and for a good one of another name. With insecure_skip_verify the end is there for both,
#         and the probe succeeds.
# HERE    "probe_ssl_earliest_cert_expiry - time() < 7 days" fires for a week and is resolved at the
#         moment in which the certificate ends; and where the edge serves another certificate than
#         the pack's, it never fires. Only probe_success tells, or the last value of the series.
set -eu
box=$(mktemp -d)
trap 'rm -rf "$box"' EXIT
exporter=$(command -v prometheus-blackbox-exporter || true)
if [ -z "$exporter" ]; then
  (cd "$box" && apt-get -q download prometheus-blackbox-exporter && dpkg-deb -x ./*.deb .) \
    >"$box/log" 2>&1 || true
  exporter=$box/usr/bin/prometheus-blackbox-exporter
fi
if ! "$exporter" --version 2>&1 | grep -q "version 0\.23\.0"; then
  echo "cannot be had: blackbox exporter 0.23.0 (Debian 12: prometheus-blackbox-exporter)"
  exit 77
fi
if ! { python3 -m venv "$box/v" && "$box/v/bin/pip" -q --disable-pip-version-check install \
  cryptography==50.0.2; } >"$box/log" 2>&1; then
  echo "cannot be had: cryptography 50.0.2 could not be installed"
  exit 77
fi
seen=$("$box/v/bin/python" - "$exporter" "$box" <<'END'
import contextlib
import datetime
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.request

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

exporter, box = sys.argv[1:]
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


with open(f"{box}/authority.pem", "wb") as file:
    ca = x509.BasicConstraints(ca=True, path_length=None)
    file.write(certificate(authority, ISSUER, NOW + 30 * DAY, ca))
with open(f"{box}/blackbox.yml", "w") as file:
    trust = f"ca_file: {box}/authority.pem, server_name: shop.example"
    file.write(f"""modules:
  verified: {{prober: http, http: {{tls_config: {{{trust}}}}}}}
  unverified: {{prober: http, http: {{tls_config: {{{trust}, insecure_skip_verify: true}}}}}}
""")
with socket.create_server(("127.0.0.1", 0)) as free:
    at = f"127.0.0.1:{free.getsockname()[1]}"
SERVED = {
    "ends in 20 days": ("shop.example", NOW + 20 * DAY),
    "ended yesterday": ("shop.example", NOW - DAY),
    "of another name": ("other.example", NOW + 20 * DAY),
}
command = [exporter, f"--config.file={box}/blackbox.yml", f"--web.listen-address={at}"]
log = open(f"{box}/exporter.log", "w")
process = subprocess.Popen(command, stdout=log, stderr=log)


def probe(module, port):
    """The series that a probe brings."""
    target = f"https://127.0.0.1:{port}/"
    with urllib.request.urlopen(f"http://{at}/probe?module={module}&target={target}") as page:
        lines = page.read().decode().splitlines()
    return dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))


try:
    last = time.monotonic() + 15
    while time.monotonic() < last:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://{at}/"):
            break
        time.sleep(0.05)
    for what, served in SERVED.items():
        port = serve(*served)
        for module in ("verified", "unverified"):
            series = probe(module, port)
            expiry = series.get("probe_ssl_earliest_cert_expiry")
            right = expiry and round(float(expiry)) == int(served[1].timestamp())
            told = {None: "none", True: "as in the certificate"}.get(right, "another")
            print(f"{what}, {module}: success {series['probe_success']}, expiry: {told}")
finally:
    process.terminate()
    process.wait(10)
END
)
expected="ends in 20 days, verified: success 1, expiry: as in the certificate
ends in 20 days, unverified: success 1, expiry: as in the certificate
ended yesterday, verified: success 0, expiry: none
ended yesterday, unverified: success 1, expiry: as in the certificate
of another name, verified: success 0, expiry: none
of another name, unverified: success 1, expiry: as in the certificate"
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
  printf 'CHANGED; it was:\n%s\n' "$expected"
  exit 1
fi
echo "as found"
