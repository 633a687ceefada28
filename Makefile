# Every target sets up what it needs (one virtual environment, .venv) and needs no keyboard.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --no-input --disable-pip-version-check
PYTEST := $(BIN)/python -m pytest
# What the tests marked "real" use, by Debian's names. Without apt-get those tests are skipped, by name.
DEBIAN_PACKAGES := prometheus prometheus-alertmanager systemd systemd-container nsd unbound ldnsutils bind9 knot-resolver pdns-recursor chromium chromium-driver w3m postgresql pgbouncer

HISTORIES ?= 300
SHARED ?= 20
SEEDS ?= 10000
FIRST ?= 100000

FUZZ_SECONDS ?= 60
FUZZ ?= configuration envelope headers dns request

UV := install --quiet --no-compile uv==0.13.9
NEWEST := $(VENV)/newest
INTO := pip install --quiet --python $(BIN)/python
# Into the environment, by hashes. uv takes what is in its cache in a tenth of pip's time; pip does it where uv cannot be
# had, or knows no index that pip's own configuration names.
define take
	@$(BIN)/uv $(INTO) --no-deps --require-hashes -r $(1) </dev/null >/dev/null 2>&1 || \
	  $(PIP) install --quiet --no-compile --no-deps --require-hashes -r $(1) </dev/null
endef

# Compiled once, and not into the tree; where an image turns that off, every process would compile all of it anew.
export PYTHONDONTWRITEBYTECODE :=
export PYTHONPYCACHEPREFIX := $(CURDIR)/$(VENV)/compiled
NEITHER := -m "not real and not process"
# Unit tests write thousands of small states: in memory, where there is such a place, as no disk is under test here.
IN_MEMORY := $(if $(wildcard /dev/shm/.),PYTEST_DEBUG_TEMPROOT=/dev/shm)

.DEFAULT_GOAL := help
.PHONY: help demo test test-all test-real unit one-half other-half coverage histories soak lint fuzz bench longlife generated newest screenshot lock packages clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' Makefile

demo: $(VENV)/.runtime ## the daemon against the built-in simulator; no account needed (DEMO_ARGS="--for 30s")
	@PYTHONPATH=. $(BIN)/python -m watchdog demo $(DEMO_ARGS)

# Side by side: a worker for each core twice over, and no core waits for the last of one part before the next begins.
test: $(VENV)/.locked ## linters, types, walls, the unit tests, and a few hundred histories
	@$(MAKE) --no-print-directory -j 4 lint one-half other-half histories

test-all: test test-real ## all of that, and the tests against real servers and tools (installs Debian packages)

histories: $(VENV)/.warm ## the whole daemon under seeded faults, in simulated time, alone (HISTORIES=300) and as three replicas (SHARED=20)
	$(BIN)/python -m tests.histories --seeds $(HISTORIES) --shared $(SHARED)

soak: $(VENV)/.installed ## many more of them (SEEDS=10000 FIRST=100000)
	$(BIN)/python -m tests.histories --seeds $(SEEDS) --first $(FIRST) --shared $$(( $(SEEDS) / 10 ))

unit: $(VENV)/.installed ## the unit tests alone
	$(IN_MEMORY) $(PYTEST) -n 2 $(NEITHER) $(TEST_ARGS) </dev/null

# The same in two processes of like weight that send each other nothing: an eighth less CPU than two workers, each of which
# collects all tests and reports each to a third process.
HALF := tests/bench tests/cycle tests/histories tests/notify
one-half: $(VENV)/.warm ## the unit tests of whole daemons and of what they tell, in one process
	$(IN_MEMORY) $(PYTEST) -p no:cacheprovider $(NEITHER) $(HALF) $(TEST_ARGS) </dev/null
other-half: $(VENV)/.warm ## the other unit tests, in one process
	$(IN_MEMORY) $(PYTEST) -p no:cacheprovider $(NEITHER) $(addprefix --ignore=,$(HALF)) $(TEST_ARGS) </dev/null

coverage: $(VENV)/.installed ## the unit tests again, with the branches they reach
	$(IN_MEMORY) $(PYTEST) -n 2 $(NEITHER) --cov --cov-report=term $(TEST_ARGS) </dev/null

test-real: $(VENV)/.installed $(VENV)/.manifests $(VENV)/contract/.installed packages ## the tests against real servers, tools and processes; each one skipped is named, with its reason
	$(PYTEST) -m "real or process" -vv -n 2 --dist loadfile $(TEST_ARGS) </dev/null

lint: $(VENV)/.locked ## ruff, mypy and import-linter
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/lint-imports

fuzz: $(VENV)/.fuzz ## every parser under coverage-guided fuzzing (FUZZ_SECONDS=60 each, FUZZ="envelope dns" for some of them)
	@for name in $(FUZZ); do echo "fuzz: $$name, $(FUZZ_SECONDS) s"; $(BIN)/python -m fuzz $$name $(FUZZ_SECONDS) </dev/null || exit 1; done

bench: $(VENV)/.installed ## CPU, memory and requests beside the official SDK (BENCH_ARGS=--large for 100,000 packs)
	$(BIN)/python bench/startup.py
	$(BIN)/python bench/sweep.py $(BENCH_ARGS)
	$(BIN)/python bench/quota.py
	$(BIN)/python bench/looking.py

newest: $(VENV)/.locked ## the unit tests with the newest versions that pyproject.toml allows, as pipx takes them, in an environment of their own
	@$(PIP) $(UV)
	@$(PYTHON) -m venv --clear $(NEWEST)
	@$(BIN)/uv pip install --quiet --python $(NEWEST) --upgrade -e . --group dev </dev/null
	@$(BIN)/uv pip list --python $(NEWEST) --outdated
	$(IN_MEMORY) PYTHONPYCACHEPREFIX=$(CURDIR)/$(NEWEST)/compiled $(NEWEST)/bin/python -m pytest -n 2 $(NEITHER) $(TEST_ARGS) </dev/null

longlife: $(VENV)/.installed ## 10,000 passes of the whole daemon in simulated time: nothing it holds may grow
	$(BIN)/python bench/longlife.py $(LONGLIFE_ARGS)

generated: $(VENV)/.installed ## the manual page, the editors' schema and the PrometheusRule anew, from what they are made from
	$(BIN)/python -m tools.generate

screenshot: $(VENV)/.installed packages ## docs/page.png and docs/zone.png, as Chromium shows the pages of a made-up fleet
	$(BIN)/python -m tests.harness.showcase docs/page.png docs/zone.png

lock: $(VENV)/.installed ## makes requirements/*.txt anew from pyproject.toml (LOCK_FLAGS=--upgrade for newer versions)
	@$(PIP) $(UV)
	@./requirements/lock.sh $(BIN)/uv $(LOCK_FLAGS)

clean: ## removes everything these targets made
	rm -rf $(VENV) dist build htmlcov .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache fuzz/corpus fuzz/found
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Without the installer of pip, which compiles all of pip anew: three seconds of the five that all of this takes. With it
# where Python comes without pip, or uv knows no index.
$(VENV)/.made: requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 15))' 2>/dev/null || \
	  { echo "make: Python 3.11 to 3.14 is needed, and '$(PYTHON)' is not that: make PYTHON=/path/to/python3.13 ..." >&2; exit 1; }
	@echo "Setting up $(VENV), once."
	@{ $(PYTHON) -m venv --clear --without-pip $(VENV) && \
	  PYTHONPYCACHEPREFIX= $(PYTHON) -m pip --python $(BIN)/python --no-input --disable-pip-version-check $(UV) && \
	  $(BIN)/uv $(INTO) pip; } </dev/null >/dev/null 2>&1 || \
	  { $(PYTHON) -m venv --clear $(VENV) && { $(PIP) $(UV) </dev/null >/dev/null 2>&1 || true; }; } || \
	  { echo "make: no virtual environment could be made (Debian: apt-get install python3-venv)" >&2; exit 1; }
	@touch $@

$(VENV)/.runtime: $(VENV)/.made requirements/runtime.txt
	$(call take,requirements/runtime.txt)
	@touch $@

$(VENV)/.locked: $(VENV)/.made requirements/dev.txt
	$(call take,requirements/dev.txt)
	@touch $@

$(VENV)/.installed: $(VENV)/.locked pyproject.toml
	@$(BIN)/uv $(INTO) --no-deps --no-build-isolation -e . </dev/null >/dev/null 2>&1 || \
	  $(PIP) install --quiet --no-deps --no-build-isolation -e . </dev/null
	@touch $@

# What these have in common is compiled once, while the linters run, and not by three processes side by side: 4 s of CPU.
$(VENV)/.warm: $(VENV)/.installed
	@$(BIN)/python -c 'import pytest, tests.conftest, tests.histories.__main__; from hypothesis import strategies; strategies.text().validate()'
	@touch $@

$(VENV)/.fuzz: $(VENV)/.installed requirements/fuzz.txt
	@$(PIP) install --quiet --no-deps --only-binary :all: --require-hashes -r requirements/fuzz.txt </dev/null
	@touch $@

$(VENV)/contract/.installed: $(VENV)/.installed requirements/contract.txt
	@$(PYTHON) -m venv --clear $(VENV)/contract
	@$(VENV)/contract/bin/python -m pip --no-input --disable-pip-version-check install --quiet --no-deps --only-binary :all: --require-hashes -r requirements/contract.txt </dev/null
	@touch $@

$(VENV)/.manifests: $(VENV)/.installed requirements/manifests.txt
	@$(PIP) install --quiet --no-deps --only-binary :all: --require-hashes -r requirements/manifests.txt </dev/null
	@touch $@

packages:
	@set -e; command -v apt-get >/dev/null || { echo "no apt-get here: tests that need a missing program are skipped"; exit 0; }; \
	missing=$$(for p in $(DEBIAN_PACKAGES); do dpkg -s $$p 2>/dev/null | grep -q '^Status: install ok installed' || echo $$p; done); \
	[ -n "$$missing" ] || exit 0; \
	as_root=; [ "$$(id -u)" = 0 ] || as_root="sudo -n"; \
	echo "installing" $$missing; \
	export DEBIAN_FRONTEND=noninteractive; \
	{ $$as_root apt-get update -qq && $$as_root apt-get install -y -qq --no-install-recommends $$missing >/dev/null; } </dev/null \
	  || echo "could not install" $$missing": the tests that need them are skipped"
