#!/usr/bin/env bash
# Podman: a container with --restart=unless-stopped stays down after the machine was started anew.
#
# VERSION Podman 4.3.1 with conmon 2.1.6 and runc (Debian 12)
# GUESS   The manual says "unless-stopped: Identical to always", so podman-restart.service, which
#         stands for Docker's daemon at a boot, starts both.
# SEEN    The unit names containers by restart-policy=always, and that filter takes the word as it was
#         written: the other one is not started at boot, nor stopped in order at a shutdown. While
#         the machine runs, both come back after they fail.
# HERE    A daemon that was installed by the lines for Docker watches certificates until the next
#         reboot, then nobody does, and nothing says so. With Podman: --restart=always, and
#         podman-restart.service enabled.
set -eu
box=$(mktemp -d)
unit=/lib/systemd/system/podman-restart.service
if ! [ "$(id -u)" = 0 ] || ! podman --version 2>/dev/null | grep -q " 4\.3\.1$" ||
  ! command -v conmon runc >"$box/log" || ! [ -e "$unit" ] ||
  ! (cd "$box" && apt-get -q download busybox-static && dpkg-deb -x ./*.deb rootfs) >"$box/log" 2>&1; then
  rm -rf "$box"
  echo "cannot be had: Podman 4.3.1, conmon and runc (Debian 12), busybox-static, and root"
  exit 77
fi
trap 'own rm --force --all --time 0 >"$box/log" 2>&1 || true; rm -rf "$box"' EXIT
cat >"$box/containers.conf" <<END
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
END
own() {
  CONTAINERS_CONF=$box/containers.conf command podman --root "$box/root" --runroot "$box/run" \
    --storage-driver vfs "$@"
}
for policy in always unless-stopped; do
  if ! own run --detach --name "$policy" --restart "$policy" --network none --no-healthcheck \
    --rootfs "$box/rootfs" /bin/busybox sleep 300 >"$box/log" 2>&1; then
    echo "cannot be had: Podman runs no container here: $(tail -n 1 "$box/log")"
    exit 77
  fi
done
up() { own ps --format '{{.Names}}' | sort | paste -s -d ' '; }
restarts() { own inspect --format '{{.Name}} {{.RestartCount}}' always unless-stopped | paste -s -d ' '; }
# shellcheck disable=SC2016  # $LOGGING stands so in the unit
at_boot=$(sed -n 's/^ExecStart=[^ ]*podman \$LOGGING //p' "$unit")
at_shutdown=$(sed -n 's/.*podman \(container ls .*\) -q).*/\1/p' "$unit")
seen=$(
  echo "they run: $(up)"
  # shellcheck disable=SC2086  # the words of the unit's own command
  echo "stopped in order: $(own $at_shutdown --format '{{.Names}}')"
  for each in always unless-stopped; do kill -9 "$(own inspect --format '{{.State.Pid}}' "$each")"; done
  for _ in $(seq 50); do [ "$(restarts)" = "always 1 unless-stopped 1" ] && break; sleep 0.1; done
  echo "both were killed; restarts: $(restarts); they run: $(up)"
  own stop --all --time 0 >"$box/log" 2>&1
  echo "the machine is down: $(up)"
  # shellcheck disable=SC2086
  own $at_boot >"$box/log" 2>&1
  echo "it is up again: $(up)"
)
expected="they run: always unless-stopped
stopped in order: always
both were killed; restarts: always 1 unless-stopped 1; they run: always unless-stopped
the machine is down: 
it is up again: always"
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
  printf 'CHANGED; it was:\n%s\n' "$expected"
  exit 1
fi
echo "as found"
