#!/usr/bin/env bash
# Podman's log driver "journald": every line of stderr is an error, and one of 9,000 bytes is two
# entries.
#
# VERSION Podman 4.3.1 with conmon 2.1.6 and runc, systemd-journald 252 (Debian 12)
# GUESS   A line has the priority "info", as the journal itself takes it to have where a service says
#         nothing, or the one it begins with ("<4>"). It is one entry up to the journal's 48 KiB.
# SEEN    Lines of stderr have "err", those of stdout "info", and "<4>" stays in the text. A line is
#         cut every 8,192 bytes; each part but the last has CONTAINER_PARTIAL_MESSAGE=true. "podman
#         logs" puts the parts together again, and nothing else does.
# HERE    A daemon that logs JSON on stderr: "journalctl -p err" shows all it ever said, and whoever is
#         woken by errors is woken by each pass. The longest lines, those with the records to place,
#         are no JSON for who reads the journal.
set -eu
box=$(mktemp -d)
journald=/lib/systemd/systemd-journald
if ! [ "$(id -u)" = 0 ] || ! unshare -m true 2>/dev/null ||
  ! podman --version 2>/dev/null | grep -q " 4\.3\.1$" || ! command -v conmon runc >"$box/log" ||
  ! journalctl --version 2>/dev/null | grep -q "^systemd 252 " || ! [ -x "$journald" ] ||
  ! (cd "$box" && apt-get -q download busybox-static && dpkg-deb -x ./*.deb rootfs) >"$box/log" 2>&1
then
  rm -rf "$box"
  echo "cannot be had: Podman 4.3.1, conmon, runc and systemd 252 (Debian 12), busybox-static, root"
  exit 77
fi
trap 'rm -rf "$box"' EXIT
cat >"$box/containers.conf" <<END
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
END
cat >"$box/rootfs/say.sh" <<'END'
echo '{"level": "info", "on": "stdout"}'
/bin/busybox sleep 1  # the two streams keep no order
echo '{"level": "info", "on": "stderr"}' >&2
echo '<4>{"level": "warning", "on": "stderr"}' >&2
long=$(/bin/busybox head -c 9000 /dev/zero | /bin/busybox tr '\0' x)
/bin/busybox sleep 1
echo "$long" >&2
END
# A journal of its own, in a /run of its own.
cat >"$box/within.sh" <<END
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/journal /run/log/journal
$journald >"$box/journald.log" 2>&1 &
daemon=\$!
for _ in \$(seq 50); do [ -S /run/systemd/journal/socket ] && break; sleep 0.1; done
own() { CONTAINERS_CONF=$box/containers.conf podman --root "$box/root" --runroot /run/own --storage-driver vfs "\$@"; }
own run --name said --log-driver journald --network none --rootfs "$box/rootfs" /bin/busybox sh /say.sh \
  >"$box/log" 2>&1
own logs said 2>&1 | awk '{print "podman logs:", length(\$0), "characters"}' | tail -n 1 >"$box/logs"
journalctl --sync
journalctl --directory /run/log/journal --output json --all CONTAINER_NAME=said >"$box/journal"
own rm --force said >"$box/log" 2>&1 || true
kill "\$daemon"
wait "\$daemon" || true
END
unshare -m bash "$box/within.sh" || true
if ! [ -s "$box/journal" ]; then
  echo "cannot be had: Podman or the journal does not run here: $(tail -n 1 "$box/log")"
  exit 77
fi
seen=$(
  python3 - "$box/journal" <<'END'
import json
import sys

with open(sys.argv[1]) as journal:
    for entry in map(json.loads, journal):
        text = entry["MESSAGE"].rstrip("\n")
        said = text if len(text) < 100 else f"{len(text)} times x"
        part = " (partial)" if "CONTAINER_PARTIAL_MESSAGE" in entry else ""
        print({"3": "err", "6": "info"}.get(entry["PRIORITY"], entry["PRIORITY"]), f"{said}{part}")
END
  cat "$box/logs"
)
expected='info {"level": "info", "on": "stdout"}
err {"level": "info", "on": "stderr"}
err <4>{"level": "warning", "on": "stderr"}
err 8192 times x (partial)
err 808 times x
podman logs: 9000 characters'
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
  printf 'CHANGED; it was:\n%s\n' "$expected"
  exit 1
fi
echo "as found"
