#!/usr/bin/env bash
# One Apprise object for Matrix with an access token sends every message under the same
# transaction id.
#
# VERSION apprise 2.3.0
# GUESS   The id at the end of PUT /rooms/{room}/send/m.room.message/{txnId} is new for each
#         message: Matrix defines it so, for telling a repeated request from a new one.
# SEEN    It is made once per object. A home server answers the second message with the event of
#         the first and posts nothing, and Apprise reports success. An object made anew for each
#         message gets a new id.
# HERE    A daemon keeps its destinations for as long as it lives: only the first alert of its life
#         would arrive, and all would count as accepted.
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

ANSWER = {"user_id": "@w:127.0.0.1", "room_id": "!abc:127.0.0.1", "event_id": "$1"}
ids = []


def take(_session, method, url, **_):
    if method.lower() == "put" and "/send/m.room.message/" in url:
        ids.append(url.rpartition("/")[2])
    answer = requests.Response()
    answer.status_code, answer._content = 200, json.dumps(ANSWER).encode()
    return answer


def made():
    told = apprise.Apprise(asset=apprise.AppriseAsset(async_mode=False, storage_mode="memory"))
    assert told.add("matrix://token@127.0.0.1:8008/!abc?version=3")
    return told


with mock.patch("requests.Session.request", take):
    one = made()
    told = [bool(one.notify(text)) for text in ("first", "second", "third")]
    print(f"one object: accepted {sum(told)}, messages {len(ids)}, ids {len(set(ids))}")
    ids.clear()
    told = [bool(made().notify(text)) for text in ("first", "second", "third")]
    print(f"an object each: accepted {sum(told)}, messages {len(ids)}, ids {len(set(ids))}")
END
)
expected="one object: accepted 3, messages 3, ids 1
an object each: accepted 3, messages 3, ids 3"
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
  printf 'CHANGED; it was:\n%s\n' "$expected"
  exit 1
fi
echo "as found"
