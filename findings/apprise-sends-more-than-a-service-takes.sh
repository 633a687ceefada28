#!/usr/bin/env bash
# Apprise knows how long a message each service takes, and sends longer ones whole.
#
# VERSION apprise 2.3.0
# GUESS   What is too long is cut, or sent in parts: each plug-in has its limit in body_maxlen, and
#         there is an overflow mode.
# SEEN    The mode is "upstream" unless the URL says otherwise (?overflow=split): 3,500 characters
#         go in one request to services that take 400 to 2,000, and the refusal is theirs to make.
# HERE    A list of hosts, findings and records is soon that long. The service answers 400, and a
#         letter that is refused each time it is tried holds up those behind it.
set -eu
box=$(mktemp -d)
trap 'rm -rf "$box"' EXIT
if ! { python3 -m venv "$box/v" && "$box/v/bin/pip" -q --disable-pip-version-check install \
  apprise==2.3.0 requests==2.34.2; } >"$box/log" 2>&1; then
  echo "cannot be had: apprise 2.3.0 could not be installed"
  exit 77
fi
seen=$("$box/v/bin/python" - <<'END'
from unittest import mock

import apprise
import requests

A24, HEX = "a" * 24, "0123456789abcdef" * 2
SERVICES = {
    "Splunk On-Call": "splunk://route@11111111-2222-3333-4444-555555555555/",
    "Rocket.Chat": f"rocket://{A24}/{A24}@127.0.0.1/#ops",
    "PagerDuty": f"pagerduty://{HEX}@{HEX}",
    "Pushover": f"pover://{'u' * 30}@{'t' * 30}",
    "Discord": f"discord://{'4' * 18}/{'A' * 64}",
}
LONG = ("shop.example is timed out\n" * 140)[:3500]
sent = []


def take(_session, method, url, data=None, json=None, **_):
    body = data if json is None else json
    sent.append(body.decode() if isinstance(body, bytes) else str(body))
    answer = requests.Response()
    answer.status_code, answer._content = 200, b"{}"
    return answer


with mock.patch("requests.Session.request", take):
    for name, url in SERVICES.items():
        asset = apprise.AppriseAsset(async_mode=False, storage_mode="memory")
        told = apprise.Apprise(asset=asset)
        assert told.add(url), name
        told.notify(LONG, title="the title", body_format="text")
        whole = sum(each.count("timed out") >= 134 for each in sent)
        print(f"{name}: takes {told[0].body_maxlen}, requests {len(sent)}, of it whole {whole}")
        sent.clear()
END
)
expected="Splunk On-Call: takes 400, requests 1, of it whole 1
Rocket.Chat: takes 1000, requests 1, of it whole 1
PagerDuty: takes 1024, requests 1, of it whole 1
Pushover: takes 1024, requests 1, of it whole 1
Discord: takes 2000, requests 1, of it whole 1"
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
  printf 'CHANGED; it was:\n%s\n' "$expected"
  exit 1
fi
echo "as found"
