# The front door. Each verb sets up what it needs; `make` alone lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
export PYTHONPATH := proto:agent:aggregator:hack

PYTEST_ARGUMENTS ?=
WORKERS ?= 2
COMPILE := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-annotate --custom-compile-command "make lock"

.PHONY: help setup toolchain library test browser check format format-check lint types layers fresh \
	proto proto-check docs docs-check laws accuracy footprint chaos refusals machine gpu mutation fuzz capture golden demo sabotage lock wheel clean

help:
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## a virtual environment with everything that is locked

# Again only when the lock or the packaging moved.
$(STAMP): requirements/dev.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "gpucost needs Python 3.11 or newer: make setup PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

toolchain:
	@command -v cc >/dev/null && exit 0; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && apt-get install -y -qq gcc libc6-dev >/dev/null; \
	else \
		echo "a C compiler is missing: apt-get install -y gcc make" >&2; exit 1; \
	fi

library: toolchain ## the simulated NVML library, and the shims for clocks and disks
	@for part in nvml clockshim diskshim; do $(MAKE) --no-print-directory -C hack/$$part; done

# A file's tests stay together, as they share the programs that they start.
test: $(STAMP) library ## all tests that need no GPU, cluster or browser, WORKERS files at a time (PYTEST_ARGUMENTS=... is passed on)
	$(BIN)/python -m pytest -m "not gpu and not cluster and not browser" -n $(WORKERS) --dist loadfile $(PYTEST_ARGUMENTS)

browser: $(STAMP) ## the page in a real browser (Chromium)
	@command -v chromium >/dev/null && exit 0; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && apt-get install -y -qq chromium >/dev/null; \
	else \
		echo "Chromium is missing: apt-get install -y chromium" >&2; exit 1; \
	fi
	$(BIN)/python -m pytest -m browser $(PYTEST_ARGUMENTS)

check: format-check lint types layers fresh ## format, lint, types, layers, generated files

format: $(STAMP) ## format the code and sort its imports
	$(BIN)/ruff check --quiet --select I --fix .
	$(BIN)/ruff format --quiet .

format-check: $(STAMP)
	$(BIN)/ruff format --check .

lint: $(STAMP) ## ruff
	$(BIN)/ruff check .

types: $(STAMP) ## mypy, strict
	$(BIN)/mypy

layers: $(STAMP) ## who may know whom
	$(BIN)/lint-imports --no-logo

fresh: proto-check docs-check

proto: $(STAMP) ## generate the code of the .proto files
	$(BIN)/python hack/generate_proto.py

proto-check: $(STAMP)
	$(BIN)/python hack/generate_proto.py --check

docs: $(STAMP) ## generate docs/settings.md, metrics.md and api.md
	$(BIN)/python hack/settings_table.py
	$(BIN)/python hack/metrics_table.py
	$(BIN)/python hack/api_table.py

docs-check: $(STAMP)
	$(BIN)/python hack/settings_table.py --check
	$(BIN)/python hack/metrics_table.py --check
	$(BIN)/python hack/api_table.py --check

laws: $(STAMP) ## the ledger's laws on many random windows (SEED, SECONDS, CI=1)
	$(BIN)/python hack/proofs/laws.py

accuracy: $(STAMP) library ## every way to share a GPU, used and charged against the truth (SEED, SECONDS, CI=1, SCENARIO)
	$(BIN)/python -m accuracy

footprint: $(STAMP) library ## memory and processor of the agent, beside a peer's (SEED, SECONDS, CI=1)
	$(BIN)/python -m footprint

chaos: $(STAMP) library ## every kind of fault on real programs, the ledger against the truth (SEED, SECONDS, CI=1, SCENARIO, FAULTS)
	$(BIN)/python -m chaos

refusals: $(STAMP) ## what a caller who is turned away costs the aggregator (SEED, CALLS, CI=1)
	$(BIN)/python hack/proofs/refusals.py

machine: $(STAMP) library ## random lives of nodes under the real agent, laws after every window (SEED, EXAMPLES, SECONDS)
	$(BIN)/python -m pytest tests/machine $(PYTEST_ARGUMENTS)

gpu: $(STAMP) library ## on a machine with a GPU: the real driver under a known load (SECONDS, GPU; SIMULATED=1, OWNER)
	$(BIN)/python -m gpu

mutation: $(STAMP) ## change the pure ledger line by line; its tests have to notice (SEED, JOBS, CI=1)
	$(BIN)/python hack/proofs/mutation.py

fuzz: $(STAMP) ## hostile inputs for all that parses what others send; planted bugs (SEED, SECONDS, CI=1, TARGETS, PLANTED)
	$(BIN)/python -m fuzz

capture: $(STAMP) ## what this version says on the wire, for later ones to understand; once a release
	$(BIN)/python tests/captures/conversation.py

golden: $(STAMP) library ## write the golden files anew; then read the diff
	$(BIN)/python -m pytest -m "not gpu and not cluster and not browser" -k golden --update-golden $(PYTEST_ARGUMENTS)
	git --no-pager diff --stat -- tests

# Taken when make begins, as a fresh clone's set-up counts: the first report is promised from the command on.
demo: export DEMO_BEGAN := $(shell date +%s)
demo: $(STAMP) library ## two simulated clusters, both programs, the page (SEED, SECONDS, CI=1, SCENARIO, PRICE_BOOK, FAULTS)
	$(BIN)/python -m demo

sabotage: $(STAMP) library ## break the product once for each proof; each has to turn red
	$(BIN)/python -m pytest tests/sabotage tests/machine/test_sabotage.py $(PYTEST_ARGUMENTS)

lock: ## lock the requirements anew (needs uv)
	@command -v uv >/dev/null || { echo "uv is missing: pip install uv" >&2; exit 1; }
	$(COMPILE) --extra agent pyproject.toml -o requirements/agent.txt
	$(COMPILE) --extra aggregator pyproject.toml -o requirements/aggregator.txt
	$(COMPILE) --extra agent --extra aggregator --group dev pyproject.toml -o requirements/dev.txt
	$(COMPILE) requirements/peers.in -o requirements/peers.txt

wheel: $(STAMP) ## dist/gpucost-VERSION-py3-none-any.whl
	$(BIN)/hatchling build -t wheel -d dist

clean: ## everything that was built, and the virtual environment
	rm -rf build dist hack/nvml/build hack/clockshim/build hack/diskshim/build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache $(VENV)
