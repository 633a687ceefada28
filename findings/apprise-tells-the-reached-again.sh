#!/usr/bin/env bash
# One Apprise URL with two targets, of which one refuses: the answer is a plain "no", and a second
# try tells the one that had it again.
#
# VERSION apprise 2.3.0
# GUESS   The result of notify() says which target failed, or a second call sends only what is
#         still owed.
# SEEN    Telegram, ntfy: the good target gets the message at every try, and the result is one
#         failure of the URL each time; no field of it has the targets. An object for each target
#         keeps them apart.
# HERE    A queue that tries a letter until it is accepted sends it to the good target at every try,
#         for as long as the other is gone: a chat that was left, a topic that was closed.
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

SERVICES = {
    "Telegram": ("tgram://123456789:abcdefg_hijklmnop/{}", "11111111", "22222222", "chat_id"),
    "ntfy": ("ntfy://127.0.0.1/{}", "good", "gone", "topic"),
}
reached = []


def take(_session, method, url, data=None, **more):
    body = data if data is not None else more.get("json")
    body = json.loads(body) if isinstance(body, str | bytes) else body
    target = str(body[field])
    answer = requests.Response()
    answer.status_code, answer._content = (400 if gone in target else 200), b'{"ok": true}'
    if gone not in target:
        reached.append(target)
    return answer


def made(targets):
    told = apprise.Apprise(asset=apprise.AppriseAsset(async_mode=False, storage_mode="memory"))
    assert told.add(url.format("/".join(targets)))
    return told


with mock.patch("requests.Session.request", take):
    for name, (url, good, gone, field) in SERVICES.items():
        both = made([good, gone])
        accepted = [bool(both.notify("timed out")) for _ in range(3)]
        print(f"{name}, one URL: accepted {sum(accepted)} of 3 tries, reached {len(reached)} times")
        reached.clear()
        owed = [made([good]), made([gone])]
        for _ in range(3):
            owed = [each for each in owed if not each.notify("timed out")]
        print(f"{name}, a URL each: owed {len(owed)} after 3 tries, reached {len(reached)} times")
        reached.clear()
END
)
expected="Telegram, one URL: accepted 0 of 3 tries, reached 3 times
Telegram, a URL each: owed 1 after 3 tries, reached 1 times
ntfy, one URL: accepted 0 of 3 tries, reached 3 times
ntfy, a URL each: owed 1 after 3 tries, reached 1 times"
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
  printf 'CHANGED; it was:\n%s\n' "$expected"
  exit 1
fi
echo "as found"
