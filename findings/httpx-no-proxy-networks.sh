#!/usr/bin/env bash
# What NO_PROXY says of networks: requests (under Apprise) honours it, httpx ignores it or cannot
# even be made.
#
# VERSION httpx 0.28.1, requests 2.34.2
# GUESS   10.0.0.0/8 is honoured by both; an IPv6 network is honoured, or left out like any entry
#         that a client does not understand.
# SEEN    httpx takes 10.0.0.0/8 for the name of a host, so 10.1.2.3 goes through the proxy. With
#         fd00::/8 (or [::1]) in the variable, httpx.Client() raises InvalidURL whatever is asked.
# HERE    Clusters set such variables for every pod. One daemon tells people by both libraries:
#         its webhook inside the house goes to the proxy, or it does not start, where its Apprise
#         destinations arrive.
set -eu
box=$(mktemp -d)
trap 'rm -rf "$box"' EXIT
if ! { python3 -m venv "$box/v" && "$box/v/bin/pip" -q --disable-pip-version-check install \
  httpx==0.28.1 requests==2.34.2; } >"$box/log" 2>&1; then
  echo "cannot be had: httpx and requests could not be installed"
  exit 77
fi
unset ALL_PROXY HTTPS_PROXY all_proxy http_proxy https_proxy no_proxy REQUEST_METHOD
export HTTP_PROXY=http://127.0.0.1:9
seen=$("$box/v/bin/python" - <<'END'
import os

import httpx
from requests.utils import should_bypass_proxies


def by_httpx(url):
    try:
        with httpx.Client() as client:
            pool = client._transport_for_url(httpx.URL(url))._pool
    except httpx.InvalidURL:
        return "InvalidURL"
    return "proxy" if "Proxy" in type(pool).__name__ else "direct"


for listed, url in (
    ("alerts.example", "http://alerts.example/"),
    ("10.0.0.0/8", "http://10.1.2.3/"),
    ("alerts.example,fd00::/8", "http://alerts.example/"),
    ("alerts.example,[::1]", "http://alerts.example/"),
):
    os.environ["NO_PROXY"] = listed
    other = "direct" if should_bypass_proxies(url, None) else "proxy"
    print(f"NO_PROXY={listed} {url} httpx: {by_httpx(url)}, requests: {other}")
END
)
expected="NO_PROXY=alerts.example http://alerts.example/ httpx: direct, requests: direct
NO_PROXY=10.0.0.0/8 http://10.1.2.3/ httpx: proxy, requests: direct
NO_PROXY=alerts.example,fd00::/8 http://alerts.example/ httpx: InvalidURL, requests: direct
NO_PROXY=alerts.example,[::1] http://alerts.example/ httpx: InvalidURL, requests: direct"
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
  printf 'CHANGED; it was:\n%s\n' "$expected"
  exit 1
fi
echo "as found"
