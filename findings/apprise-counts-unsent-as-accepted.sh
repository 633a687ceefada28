#!/usr/bin/env bash
# Apprise's Opsgenie and Jira plug-ins report success for messages of which they send nothing.
#
# VERSION apprise 2.3.0
# GUESS   notify() is true where the service took the message; an info opens an alert of low
#         priority, and a success closes one or opens one.
# SEEN    "info" and "success" make no request and return true. "warning" and "failure" open an
#         alert each.
# HERE    A test of a new destination, every information and every "resolved" are counted as
#         delivered and reach nobody; with a wrong key the test passes as well.
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

KEY = "11111111-2222-3333-4444-555555555555"
sent = []


def take(_session, method, url, **_):
    sent.append(url)
    answer = requests.Response()
    answer.status_code, answer._content = 202, b'{"requestId": "1"}'
    return answer


with mock.patch("requests.Session.request", take):
    for service in ("opsgenie", "jira"):
        for kind in ("info", "success", "warning", "failure"):
            sent.clear()
            asset = apprise.AppriseAsset(async_mode=False, storage_mode="memory")
            told = apprise.Apprise(asset=asset)
            assert told.add(f"{service}://{KEY}")
            accepted = bool(told.notify("the text", title="the title", notify_type=kind))
            print(f"{service} {kind}: requests {len(sent)}, accepted {accepted}")
END
)
expected="opsgenie info: requests 0, accepted True
opsgenie success: requests 0, accepted True
opsgenie warning: requests 1, accepted True
opsgenie failure: requests 1, accepted True
jira info: requests 0, accepted True
jira success: requests 0, accepted True
jira warning: requests 1, accepted True
jira failure: requests 1, accepted True"
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
  printf 'CHANGED; it was:\n%s\n' "$expected"
  exit 1
fi
echo "as found"
