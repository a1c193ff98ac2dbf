# Everything from a bare clone: each target makes .venv and installs what it needs, once.
#   make demo    a simulated ward in the browser      make test    the tests
#   make check   ruff and mypy                        make bench   benchmarks
#   make bench-peers   what a user would build instead, in the same run (in an environment of its own, .venv-peers)
#   make test-slow   the tests marked slow, which `make test` leaves out
#   make chaos   200 faults and more, and the proof that nothing was lost (40 min; CHAOS="--seconds 60" for less)
#   make fuzz    a million inputs to everything that reads what comes from outside (half an hour)
#   make soak    200 beds for an hour under faults: what grows, what is missing
# Options of the demo: make demo DEMO="--duration 60 --headless"
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PEERS := .venv-peers
DEMO ?=
TESTS ?=
CHAOS ?= --seconds 300 --until-faults 200 --json runs/chaos.json
FUZZ ?= --inputs 1100000 --json runs/fuzz.json
SOAK ?= --minutes 60 --beds 200 --json runs/soak.json
# Two processes on two cores: a process's libraries must not start threads of their own for each.
THREADS := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
PYTEST := $(THREADS) $(BIN)/pytest -q -n 3 --dist loadfile --ignore=tests/bench --benchmark-disable
INSTALL := $(BIN)/pip install --disable-pip-version-check --quiet -c constraints.txt

.PHONY: demo test test-slow chaos fuzz soak check bench bench-peers bench-short format browser clean

demo: $(VENV)/.runtime
	$(BIN)/wardwave demo $(DEMO)

test: $(VENV)/.dev browser
	$(PYTEST) -m "not slow" $(TESTS)

test-slow: $(VENV)/.dev browser
	$(PYTEST) -m slow $(TESTS)

chaos: $(VENV)/.dev
	$(THREADS) $(BIN)/wardwave chaos $(CHAOS)

fuzz: $(VENV)/.dev
	@$(INSTALL) -e '.[fuzz]' || echo "no atheris for this Python: inputs are mutations of our own"
	$(THREADS) $(BIN)/python -m tests.fuzz $(FUZZ)

soak: $(VENV)/.dev
	$(THREADS) $(BIN)/wardwave soak $(SOAK)

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy wardwave.py

bench: $(VENV)/.dev
	@mkdir -p runs/bench
	$(BIN)/pytest -q -s tests/bench --ignore=tests/bench/test_bench_peers.py --benchmark-json=runs/bench/bench.json $(TESTS)
	$(BIN)/python tests/bench/table.py

bench-peers: $(VENV)/.dev $(PEERS)/.done
	@mkdir -p runs/bench
	$(BIN)/pytest -q -s tests/bench/test_bench_peers.py --benchmark-json=runs/bench/peers.json
	$(BIN)/python tests/bench/table.py

# The same for a minute: chunks lost or outputs unequal fail it, a time never does.
bench-short: $(VENV)/.dev
	@mkdir -p runs/bench-short
	WARDWAVE_BENCH_S=6 WARDWAVE_BENCH_BEDS=100 $(BIN)/pytest -q tests/bench/test_bench_path.py tests/bench/test_bench_parts.py \
	  --benchmark-max-time=0.2 --benchmark-json=runs/bench-short/short.json
	$(BIN)/python tests/bench/table.py runs/bench-short/short.json --json runs/bench-short.json --markdown docs/bench-last.md

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The dashboard's tests drive Debian's chromium; without it they say so and are skipped.
browser:
	@if command -v chromium >/dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "installing chromium for the browser tests"; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium fonts-dejavu-core >/dev/null; \
	else echo "no chromium here, so the browser tests are skipped (apt-get install chromium)"; fi

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Wardwave needs Python 3.11 or newer; set PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "cannot make $(VENV): on Debian, apt-get install python3-venv"; exit 1; }

$(VENV)/.runtime: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing what the demo needs (once, a few minutes)"
	$(INSTALL) -e '.[embedded]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing what tests and checks need (once, a few minutes)"
	$(INSTALL) -e '.[dev]'
	@touch $@ $(VENV)/.runtime

# Their pins and ours do not go together (tests/bench/peers-requirements.txt says which).
$(PEERS)/.done: tests/bench/peers-requirements.txt tests/bench/peers-no-deps.txt | $(BIN)/python
	@echo "installing the peers of the benchmarks (once, some minutes)"
	@$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/pip install --disable-pip-version-check --quiet -r tests/bench/peers-requirements.txt
	$(PEERS)/bin/pip install --disable-pip-version-check --quiet --no-deps -r tests/bench/peers-no-deps.txt
	@touch $@

clean:
	rm -rf $(VENV) $(PEERS) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
