"""``python -m fuzz NAME SECONDS``: one oracle under atheris, from its seeds on. Run by ``make fuzz``.

Ends with an error, and the input in ``fuzz/found``, as soon as an oracle is contradicted. The corpus that it grows is
kept in ``fuzz/corpus``, which git does not know.
"""

import sys
from pathlib import Path

import atheris

_LONGEST = 8192  # bytes of one input
_MEMORY = 2048  # MiB of the whole process
_HANGS = 20  # seconds for one input, on a machine that has other things to do

name, seconds = sys.argv[1:]
with atheris.instrument_imports(include=["watchdog", "yaml", "dns", "h11", "uvicorn"]):
    from fuzz import seeds
    from fuzz.oracles import ORACLES

here = Path(__file__).parent
corpus, found = here / "corpus" / name, here / "found"
corpus.mkdir(parents=True, exist_ok=True)
found.mkdir(exist_ok=True)
for number, seed in enumerate(seeds.of(name)):
    (corpus / f"seed-{number}").write_bytes(seed)
limits = (f"-max_total_time={seconds}", f"-max_len={_LONGEST}", f"-rss_limit_mb={_MEMORY}", f"-timeout={_HANGS}")
atheris.Setup([name, *limits, "-print_final_stats=1", f"-artifact_prefix={found}/{name}-", str(corpus)], ORACLES[name])
atheris.Fuzz()
