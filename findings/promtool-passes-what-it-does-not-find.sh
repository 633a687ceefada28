#!/usr/bin/env bash
# A test of rules passes where neither the alert nor the file of rules that it names is there.
#
# VERSION Prometheus 2.42.0, promtool (Debian 12)
# GUESS   promtool test rules refuses a test about an alert that no rule has, as it refuses a word that
#         it does not know.
# SEEN    "SUCCESS" and exit code 0, where the test expects that the alert is quiet. So it does where
#         the file of rules is missing, with a warning. And Prometheus starts without it, is ready,
#         has no rules, and no line of its log says so. promtool check config alone refuses that.
# HERE    "This alert must not fire" is half of what such tests say. A letter that is wrong in the name,
#         or a rule that was renamed, and that half says nothing any more. And a rule file that was
#         moved is noticed by the certificate that runs out.
set -eu
box=$(mktemp -d)
trap 'rm -rf "$box"' EXIT
server=$(command -v prometheus || true)
tool=$(command -v promtool || true)
if [ -z "$server" ] || [ -z "$tool" ]; then
  (cd "$box" && apt-get -q download prometheus && dpkg-deb -x ./*.deb .) >"$box/log" 2>&1 || true
  server=$box/usr/bin/prometheus tool=$box/usr/bin/promtool
fi
if ! "$server" --version 2>&1 | grep -q "version 2\.42\.0" ||
  ! "$tool" --version 2>&1 | grep -q "version 2\.42\.0"; then
  echo "cannot be had: Prometheus 2.42.0 (Debian 12: prometheus)"
  exit 77
fi
cat >"$box/rules.yml" <<'END'
groups:
  - name: certificates
    rules:
      - {alert: CertificateExpired, expr: expires_in < 0}
END
# The certificate expired long ago: the alert fires, whatever its test hopes for.
for case in "rules.yml CertificateExpired" "rules.yml CertificatExpired" "missing.yml CertificateExpired"; do
  cat >"$box/test of ${case#* } in ${case% *}.yml" <<END
rule_files: [${case% *}]
tests:
  - interval: 1m
    input_series: [{series: expires_in, values: "-1x10"}]
    alert_rule_test:
      - {eval_time: 5m, alertname: ${case#* }, exp_alerts: []}
END
done
printf 'rule_files: [missing.yml]\n' >"$box/config.yml"
cat >"$box/started.py" <<'END'
import json
import socket
import subprocess
import sys
import time
import urllib.request

server, box = sys.argv[1:]
with socket.create_server(("127.0.0.1", 0)) as free:
    at = f"127.0.0.1:{free.getsockname()[1]}"
command = [server, f"--config.file={box}/config.yml", f"--storage.tsdb.path={box}/data"]
with open(f"{box}/server.log", "w") as log:
    process = subprocess.Popen([*command, f"--web.listen-address={at}"], stdout=log, stderr=log)
    try:
        for _ in range(100):
            try:
                urllib.request.urlopen(f"http://{at}/-/ready", timeout=5).close()
                break
            except OSError:
                time.sleep(0.1)
        with urllib.request.urlopen(f"http://{at}/api/v1/rules", timeout=5) as answer:
            groups = json.load(answer)["data"]["groups"]
    finally:
        process.terminate()
        process.wait(20)
with open(f"{box}/server.log") as log:
    said = sum("missing.yml" in line for line in log)
print(f"Prometheus: ready, with {len(groups)} groups of rules, and {said} lines about the file")
END
seen=$(
  for file in "$box"/test*.yml; do
    verdict=0
    "$tool" test rules "$file" >"$box/log" 2>&1 || verdict=$?
    echo "$(basename "$file" .yml): exit code $verdict, warnings $(grep -c WARNING "$box/log" || true)"
  done
  verdict=0
  "$tool" check config "$box/config.yml" >"$box/log" 2>&1 || verdict=$?
  echo "check of a configuration with missing.yml: exit code $verdict"
  python3 "$box/started.py" "$server" "$box"
)
expected="test of CertificatExpired in rules.yml: exit code 0, warnings 0
test of CertificateExpired in missing.yml: exit code 0, warnings 1
test of CertificateExpired in rules.yml: exit code 1, warnings 0
check of a configuration with missing.yml: exit code 1
Prometheus: ready, with 0 groups of rules, and 0 lines about the file"
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
  printf 'CHANGED; it was:\n%s\n' "$expected"
  exit 1
fi
echo "as found"
