#!/usr/bin/env bash
# A record's name sent as plain text through Apprise arrives with backslashes at some services,
# and at others with its asterisk and underscores unprotected.
#
# VERSION apprise 2.3.0
# GUESS   body_format="text" arrives as the same text everywhere: escaped where a service reads
#         Markdown and would eat characters, untouched elsewhere.
# SEEN    Rocket.Chat, Webex, Squadcast, iLert and incident.io get a backslash before every point,
#         hyphen, underscore and asterisk; Google Chat before "_" and "*" only. Discord, Mattermost
#         and Zulip, which render Markdown too, get the text as it is, as does PagerDuty.
# HERE    "_acme-challenge.shop.example" and "*.shop.example" are to be copied into a DNS provider's
#         form by whoever reads the alert.
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

A24, HEX = "a" * 24, "0123456789abcdef" * 2
SERVICES = {
    "Rocket.Chat": (f"rocket://{A24}/{A24}@127.0.0.1/#ops", "text"),
    "Webex": (f"wxteams://{'a' * 80}", "markdown"),
    "Squadcast": (f"squadcast://{HEX}", "description"),
    "iLert": ("ilert://il1api000000000000000000", "details"),
    "incident.io": ("incidentio://abc/def", "description"),
    "Google Chat": ("gchat://space/key/token", "text"),
    "Discord": (f"discord://{'4' * 18}/{'A' * 64}", "content"),
    "Mattermost": (f"mmosts://127.0.0.1/{'a' * 26}", "text"),
    "Zulip": (f"zulip://botname@org/{HEX}", "content"),
    "PagerDuty": (f"pagerduty://{HEX}@{HEX}", "payload"),
}
sent = []


def take(_session, method, url, data=None, json=None, **_):
    sent.append(data if json is None else json)
    answer = requests.Response()
    answer.status_code, answer._content = 200, b"{}"
    return answer


with mock.patch("requests.Session.request", take):
    for name, (url, field) in SERVICES.items():
        sent.clear()
        told = apprise.Apprise(asset=apprise.AppriseAsset(async_mode=False, storage_mode="memory"))
        assert told.add(url), name
        told.notify("_acme-challenge.shop.example *.shop.example", body_format="text")
        body = sent[0] if isinstance(sent[0], dict) else json.loads(sent[0])
        text = body[field]["summary"] if isinstance(body[field], dict) else body[field]
        print(f"{name}: {text.strip()}")
END
)
every='\_acme\-challenge\.shop\.example \*\.shop\.example'
plain='_acme-challenge.shop.example *.shop.example'
expected="Rocket.Chat: $every
Webex: $every
Squadcast: $every
iLert: $every
incident.io: $every
Google Chat: \\_acme-challenge.shop.example \\*.shop.example
Discord: $plain
Mattermost: $plain
Zulip: $plain
PagerDuty: $plain"
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
  printf 'CHANGED; it was:\n%s\n' "$expected"
  exit 1
fi
echo "as found"
