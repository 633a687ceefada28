"""What hostile input costs: peak memory and seconds for each, in a process of its own. ``python bench/hostile.py``.

Configurations, DNS answers and API bodies are handed to what reads them; how sockets are bounded in time is shown by
``tests/cloudflare/test_client_sockets.py`` and its like.
"""

import contextlib
import gzip
import json
import resource
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from watchdog.cloudflare import wire
from watchdog.cloudflare.errors import CloudflareError, Operation
from watchdog.cloudflare.http import Response
from watchdog.cloudflare.transport import unpacked
from watchdog.config.load import ConfigError, load
from watchdog.diagnose.message import TooLargeError, parse

ZONE = "023e105f4ecef8ad9ca31a8372d0c353"
MAIN = "accounts:\n  main: {api_token: t}\n"
MIB = 1024 * 1024


def configuration(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "config.yaml")
        path.write_text(text)
        with contextlib.suppress(ConfigError):
            load(path, {"BIG": "x" * 100_000})


def envelope(body: bytes) -> None:
    with contextlib.suppress(msgspec.MsgspecError):
        wire.packs(body, ZONE)


def dns_answer(records: int) -> None:
    labels, pointer = b"\x01a" * 126 + b"\x00", b"\xc0\x0c"
    record = pointer + struct.pack("!HHIH", 5, 1, 60, 2) + pointer
    header = struct.pack("!HHHHHH", 1, 0x8180, 1, records, 0, 0)
    with contextlib.suppress(TooLargeError):
        parse(header + labels + struct.pack("!HH", 5, 1) + record * records)


def body(body: bytes, encoding: str) -> None:
    with contextlib.suppress(CloudflareError):
        unpacked(Operation.GET_PACK, Response(200, {"content-encoding": encoding}, body))


CASES: dict[str, Callable[[], None]] = {
    "nothing": lambda: None,
    "body: 100 MB of zeros in gzip": lambda: body(gzip.compress(bytes(100 * MIB)), "gzip"),
    "body: the same in gzip twice": lambda: body(gzip.compress(gzip.compress(bytes(100 * MIB))), "gzip, gzip"),
    "JSON: 100,000 levels": lambda: envelope(b"[" * 100_000),
    "JSON: 4 MiB of tiny lists": lambda: envelope(b'{"success":true,"result":[' + b"[]," * (4 * MIB // 3) + b"[]]}"),
    "JSON: 350,000 packs on a page": lambda: envelope(
        json.dumps({"success": True, "result": [{"id": "1"}] * 350_000}).encode()
    ),
    "YAML: billion laughs": lambda: configuration(
        "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(f"a{n}: &a{n} [{f'*a{n - 1},' * 9}]\n" for n in range(1, 30))
    ),
    "YAML: 100 KB of text by 20,000 aliases": lambda: configuration(
        MAIN + 'x: &a "$$' + "a" * 100_000 + '"\nzones: [' + "*a," * 20_000 + "]\n"
    ),
    "YAML: a variable of 100 KB, 20,000 times": lambda: configuration(MAIN + "zones: [" + "'${BIG}'," * 20_000 + "]\n"),
    "YAML: 300,000 unknown keys": lambda: configuration("".join(f"k{n}: 1\n" for n in range(300_000))),
    "YAML: 490,000 zones that are none": lambda: configuration(MAIN + "zones:\n" + "- a\n" * 490_000),
    "YAML: 50,000 zones of unknown among 60,000 accounts": lambda: configuration(
        "accounts:\n"
        + "".join(f"  a{n:06}: {{api_token: t}}\n" for n in range(60_000))
        + "zones:\n"
        + "".join(f"- {{name: z{n}.com, account: b{n}}}\n" for n in range(50_000))
    ),
    "YAML: a million brackets": lambda: configuration("a: " + "[" * 1_000_000),
    "DNS: 4,600 names of 126 labels": lambda: dns_answer(4600),
    "DNS: 399 of them, the most that are read": lambda: dns_answer(399),
}


def main() -> None:
    if len(sys.argv) > 1:
        began = time.perf_counter()
        CASES[sys.argv[1]]()
        print(f"{time.perf_counter() - began:.2f} {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f}")
        return
    print(f"{'input':52} seconds   MB (of the whole process)")
    for name in CASES:
        told = subprocess.run([sys.executable, __file__, name], check=True, capture_output=True, text=True, timeout=120)
        seconds, megabytes = told.stdout.split()
        print(f"{name:52} {seconds:>7} {megabytes:>4}")


if __name__ == "__main__":
    main()
