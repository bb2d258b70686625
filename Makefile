# The two commands a newcomer needs are `make lab` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LAB_PIDFILE := .lab.pid
BENCH := benchmarks/build
COMPILED := build/compiled
CFLAGS ?= -O2 -Wall -Wextra
# All but those that give classes of theirs its classes for bases; who gives constants other values is skipped there.
DATA_PATH_TESTS := $(addprefix tests.test_,accesslog clienthello clusters dataplane descriptors end_to_end ended entrance \
	events hello_message inbound lean lean_dialing lean_port lean_reset lean_tls lean_writing listening log_line lookup network \
	network_protocols overload pipes poller poller_reactor poller_stand_in reaching relay service serving sockets \
	wheel workers)

.PHONY: lab lab-stop test test-compiled lint docs bench soak compiled wheel clean

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "meshgate needs Python 3.11 or newer; run make PYTHON=python3.x")'
	$(PYTHON) -m venv $(VENV)

# What is installed is newer than what says what to install, or it is installed again.
$(VENV)/.installed: setup.cfg pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.installed-dev: setup.cfg pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(VENV)/.installed

# Runs in the foreground; Ctrl-C ends it.
lab: $(VENV)/.installed
	@if [ -f $(LAB_PIDFILE) ] && kill -0 "$$(cat $(LAB_PIDFILE))" 2>/dev/null; then \
		echo "The lab is already running (process $$(cat $(LAB_PIDFILE))); 'make lab-stop' ends it." >&2; exit 1; fi
	@rm -f $(LAB_PIDFILE)
	@exec $(BIN)/twistd -n --pidfile=$(LAB_PIDFILE) meshgate --config etc/meshgate.yaml

lab-stop:
	@if [ -f $(LAB_PIDFILE) ] && kill "$$(cat $(LAB_PIDFILE))" 2>/dev/null; then :; else echo "The lab is not running."; fi

test: $(VENV)/.installed-dev
	$(BIN)/python -m twisted.trial $(TRIAL_OPTIONS) tests

# The tests of the data path, on what is compiled; it stands beside the sources, and never in their way.
test-compiled: compiled
	@rm -rf $(COMPILED)/tests && cp -r tests $(COMPILED)
	cd $(COMPILED) && $(CURDIR)/$(BIN)/python -m twisted.trial $(TRIAL_OPTIONS) $(DATA_PATH_TESTS)

compiled: $(COMPILED)/.compiled

$(COMPILED)/.compiled: setup.py pyproject.toml $(shell find meshgate twisted -name '*.py' -o -name '*.c') | $(VENV)/.installed-dev
	@rm -rf $(COMPILED)
	MESHGATE_COMPILE=1 $(BIN)/python setup.py --quiet build --build-base build/temp --build-lib $(COMPILED)
	@touch $@

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.installed-dev
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html

# The figures of the documentation and the README; says what is missing. For others, see
# `.venv/bin/python -m benchmarks --help`.
bench: $(VENV)/.installed-dev
	$(BIN)/python -m benchmarks --strace --output docs/benchmarks --readme README.md $(BENCH_OPTIONS)

# 200,000 connections of all kinds; a quick one is `make soak SOAK_OPTIONS="--connections 2000"`.
soak: $(VENV)/.installed-dev
	$(BIN)/python -m benchmarks.soak $(SOAK_OPTIONS)

$(BENCH)/load: $(addprefix benchmarks/,load.c client.c hello.c options.c report.c wire.c)
$(BENCH)/backend: $(addprefix benchmarks/,backend.c wire.c)
$(BENCH)/load $(BENCH)/backend: $(wildcard benchmarks/*.h)
	@mkdir -p $(@D)
	$(CC) -std=c11 $(CFLAGS) -o $@ $(filter %.c,$^)

wheel: $(VENV)/.installed-dev
	$(BIN)/python -m build --wheel

clean:
	rm -rf $(VENV) $(BENCH) build dist docs/_build *.egg-info _trial_temp*
