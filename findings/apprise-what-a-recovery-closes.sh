#!/usr/bin/env bash
# What "success" does at services for people on call, through Apprise: it opens another incident,
# closes one of another alert, or closes nothing.
#
# VERSION apprise 2.3.0
# GUESS   notify_type "failure" opens an incident and "success" closes that one; which one is told
#         by a key that Apprise derives from title or text, or takes from the caller.
# SEEN    PagerDuty, PagerTree: "success" opens another (PagerDuty without any dedup_key).
#         Splunk On-Call: one entity for all alerts, so the first recovery closes every one.
#         Squadcast, iLert, incident.io: the key is a hash of the title alone: two alerts with one
#         title are one incident, and a recovery whose title says "resolved" closes nothing.
# HERE    Titles differ between "timed out" and "is well again", so that incidents of certificates
#         stay open for ever at five of six services, and are closed unseen at the sixth.
set -eu
box=$(mktemp -d)
trap 'rm -rf "$box"' EXIT
if ! { python3 -m venv "$box/v" && "$box/v/bin/pip" -q --disable-pip-version-check install \
  apprise==2.3.0 requests==2.34.2; } >"$box/log" 2>&1; then
  echo "cannot be had: apprise 2.3.0 could not be installed"
  exit 77
fi
seen=$("$box/v/bin/python" - <<'END'
import json
from unittest import mock

import apprise
import requests

HEX = "0123456789abcdef" * 2
UUID = "11111111-2222-3333-4444-555555555555"
SERVICES = {  # its URL, and where its request has the action and the key
    "PagerDuty": (f"pagerduty://{HEX}@{HEX}", "event_action", "dedup_key"),
    "PagerTree": ("pagertree://int_0123456789a", "event_type", "id"),
    "Splunk On-Call": (f"splunk://route@{UUID}/", "message_type", "entity_id"),
    "Squadcast": (f"squadcast://{HEX}", "status", "event_id"),
    "iLert": ("ilert://il1api000000000000000000", "eventType", "alertKey"),
    "incident.io": ("incidentio://abc/def", "status", "deduplication_key"),
}
LETTERS = (
    ("failure", "timed out", "a.example"),
    ("failure", "timed out", "b.example"),
    ("success", "timed out", "a.example"),
    ("success", "well again", "a.example"),
)
sent = []


def take(_session, method, url, data=None, json=None, **_):
    sent.append(data if json is None else json)
    answer = requests.Response()
    answer.status_code, answer._content = 200, b"{}"
    return answer


with mock.patch("requests.Session.request", take):
    for name, (url, action, key) in SERVICES.items():
        told = apprise.Apprise(asset=apprise.AppriseAsset(async_mode=False, storage_mode="memory"))
        assert told.add(url), name
        said = []
        for kind, title, text in LETTERS:
            sent.clear()
            assert told.notify(text, title=title, notify_type=kind), name
            body = sent[0] if isinstance(sent[0], dict) else json.loads(sent[0])
            said.append((body[action], body.get(key)))
        number = {value: place + 1 for place, value in enumerate(dict.fromkeys(k for _, k in said))}
        keys = " ".join("none" if k is None else str(number[k]) for _, k in said)
        print(f"{name}: {said[0][0]} {said[1][0]} {said[2][0]} {said[3][0]}, keys {keys}")
END
)
expected="PagerDuty: trigger trigger trigger trigger, keys none none none none
PagerTree: create create create create, keys 1 2 3 4
Splunk On-Call: CRITICAL CRITICAL RECOVERY RECOVERY, keys 1 1 1 1
Squadcast: trigger trigger resolve resolve, keys 1 1 1 2
iLert: ALERT ALERT RESOLVE RESOLVE, keys 1 1 1 2
incident.io: firing firing resolved resolved, keys 1 1 1 2"
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
  printf 'CHANGED; it was:\n%s\n' "$expected"
  exit 1
fi
echo "as found"
