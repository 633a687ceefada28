#!/usr/bin/env bash
# With CLOUDFLARE_EMAIL in the environment, Cloudflare's Python SDK does not send the API token.
#
# VERSION cloudflare 5.9.0
# GUESS   Where a token and the older key with its email are both set, the token wins; an email
#         without a key changes nothing.
# SEEN    The key and its email go out and no Authorization, from user.tokens.verify() too, and
#         also where api_token is handed to the client. With an email and no key, the email alone
#         goes out: a request without any credential.
# HERE    A tool that moves to a token limited to some zones goes on with the key that may do
#         everything, or is told "unauthorized" with a good token, until the old variables are
#         gone.
set -eu
box=$(mktemp -d)
trap 'rm -rf "$box"' EXIT
if ! { python3 -m venv "$box/v" && "$box/v/bin/pip" -q --disable-pip-version-check install \
  --no-compile cloudflare==5.9.0 httpx==0.28.1; } >"$box/log" 2>&1; then
  echo "cannot be had: cloudflare 5.9.0 could not be installed"
  exit 77
fi
unset CLOUDFLARE_API_TOKEN CLOUDFLARE_API_KEY CLOUDFLARE_EMAIL CLOUDFLARE_API_USER_SERVICE_KEY
seen=$("$box/v/bin/python" - <<'END'
import os

import cloudflare
import httpx

TOKEN, KEY = "CLOUDFLARE_API_TOKEN", "CLOUDFLARE_API_KEY"
MADE_UP = {TOKEN: "t" * 40, KEY: "k" * 37, "CLOUDFLARE_EMAIL": "ops@shop.example"}
SHOWN = ("authorization", "x-auth-email", "x-auth-key")
ENVELOPE = {"success": True, "errors": [], "messages": [], "result": []}
carried = []


def answer(request):
    carried.append([name for name in SHOWN if name in request.headers])
    return httpx.Response(200, json=ENVELOPE)


def calls(client):
    carried.clear()
    client.user.tokens.verify()
    list(client.ssl.certificate_packs.list(zone_id="0" * 32))
    client.ssl.certificate_packs.edit("0" * 36, zone_id="0" * 32)
    first, *others = carried
    return " ".join(first) if all(other == first for other in others) else str(carried)


for story, names, given in (
    ("a token", [TOKEN], {}),
    ("a token and an email", [TOKEN, "CLOUDFLARE_EMAIL"], {}),
    ("all three", MADE_UP, {}),
    ("key and email, the token handed over", MADE_UP.keys() - {TOKEN}, {"api_token": "t" * 40}),
):
    for name in MADE_UP:
        os.environ.pop(name, None)
    os.environ.update({name: MADE_UP[name] for name in names})
    http = httpx.Client(transport=httpx.MockTransport(answer))
    print(f"{story}: {calls(cloudflare.Cloudflare(http_client=http, **given))}")
END
)
expected="a token: authorization
a token and an email: x-auth-email
all three: x-auth-email x-auth-key
key and email, the token handed over: x-auth-email x-auth-key"
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
  printf 'CHANGED; it was:\n%s\n' "$expected"
  exit 1
fi
echo "as found"
