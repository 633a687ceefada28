#!/usr/bin/env bash
# A web server that orders its own certificates serves nobody else's token: Apache's mod_md answers for
# the whole folder.
#
# VERSION Apache 2.4.71 with mod_md (Debian 12)
# GUESS   mod_md answers for the tokens of its own orders, and lets a request for another name in
#         .well-known/acme-challenge/ pass to the file that is there, as it does for a host that it
#         does not manage.
# SEEN    For a host that it manages such a file is 404, though mod_md has no order under way. The
#         same file is 200 for another host, below .well-known/pki-validation/, and where
#         MDCAChallenges leaves http-01 out.
# HERE    A host that is validated by HTTP, and whose server got its own certificates before it was put
#         behind Cloudflare: the token is placed as a file, is there, and the authority gets 404. Take
#         http-01 from mod_md, or validate by TXT.
set -eu
box=$(mktemp -d)
trap 'rm -rf "$box"' EXIT
(cd "$box" && apt-get -q download apache2-bin libapr1 libaprutil1 libjansson4 liblua5.3-0 &&
  for each in ./*.deb; do dpkg-deb -x "$each" .; done) >"$box/log" 2>&1 || true
libraries=$box/usr/lib/x86_64-linux-gnu
if ! LD_LIBRARY_PATH=$libraries "$box/usr/sbin/apache2" -v 2>&1 | grep -q "Apache/2\.4\.71"; then
  echo "cannot be had: Apache 2.4.71 (Debian 12, amd64: apache2-bin)"
  exit 77
fi
seen=$(python3 - "$box" "$libraries" <<'END'
import contextlib
import http.client
import os
import socket
import subprocess
import sys
import time

box, libraries = sys.argv[1:]
modules = f"{box}/usr/lib/apache2/modules"
for folder in ("acme-challenge", "pki-validation"):
    os.makedirs(f"{box}/site/.well-known/{folder}")
    with open(f"{box}/site/.well-known/{folder}/token", "w") as file:
        file.write("the token")
os.chmod(box, 0o755)
with open(f"{box}/mime.types", "w") as types:
    types.write("text/plain txt\n")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def status(port, host, path):
    asking = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    asking.request("GET", path, headers={"Host": host})
    return asking.getresponse().status


def look(what, challenges):
    port, secure = free_port(), free_port()
    at = f"{box}/{port}"
    os.mkdir(at)
    with open(f"{at}/conf", "w") as config:
        config.write(f"""ServerRoot {at}
PidFile {at}/pid
ErrorLog {at}/errors
Listen 127.0.0.1:{port}
Listen 127.0.0.1:{secure}
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule mime_module {modules}/mod_mime.so
LoadModule ssl_module {modules}/mod_ssl.so
LoadModule md_module {modules}/mod_md.so
TypesConfig {box}/mime.types
ServerName shop.test
DocumentRoot {box}/site
MDCertificateAuthority http://127.0.0.1:9/directory
MDCertificateAgreement accepted
MDContactEmail hostmaster@shop.test
MDPortMap http:{port} https:{secure}
{challenges}
MDomain managed.shop.test
<VirtualHost *:{port}>
  ServerName managed.shop.test
</VirtualHost>
<VirtualHost *:{secure}>
  ServerName managed.shop.test
  SSLEngine on
</VirtualHost>
<VirtualHost *:{port}>
  ServerName other.shop.test
</VirtualHost>
""")
    command = [f"{box}/usr/sbin/apache2", "-f", f"{at}/conf", "-DFOREGROUND"]
    own = {**os.environ, "LD_LIBRARY_PATH": libraries}
    with open(f"{at}/log", "w") as log:
        process = subprocess.Popen(command, env=own, stdout=log, stderr=log)
    try:
        last = time.monotonic() + 15
        while time.monotonic() < last:
            with contextlib.suppress(OSError):
                if status(port, "other.shop.test", "/.well-known/acme-challenge/token"):
                    break
            time.sleep(0.1)
        for host in ("managed", "other"):
            for folder in ("acme-challenge", "pki-validation"):
                code = status(port, f"{host}.shop.test", f"/.well-known/{folder}/token")
                print(f"{what}, {host}, {folder}: {code}", flush=True)
    finally:
        process.terminate()
        process.wait(20)


look("as it comes", "")
look("without http-01", "MDCAChallenges tls-alpn-01")
END
)
expected="as it comes, managed, acme-challenge: 404
as it comes, managed, pki-validation: 200
as it comes, other, acme-challenge: 200
as it comes, other, pki-validation: 200
without http-01, managed, acme-challenge: 200
without http-01, managed, pki-validation: 200
without http-01, other, acme-challenge: 200
without http-01, other, pki-validation: 200"
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
  printf 'CHANGED; it was:\n%s\n' "$expected"
  exit 1
fi
echo "as found"
