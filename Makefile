# `make` lists the targets. Options: PYTHON=/path/to/python3, ARGS="what pytest is given", ALL=1, COVERAGE=1, WORKERS=n.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ARGS ?=
# More than the two cores of a small machine: half of what a test does is wait for processes of its own.
WORKERS ?= 3
CODE := actors bench callboard cli console migrations observability sandbox scheduler tests
PYTHON_IS_FIT := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3.14 python3; do \
	$$python -c '$(PYTHON_IS_FIT)' 2>/dev/null && echo $$python && break; done)
# Real kills, whole sites and browsers run with ALL=1, and where CI is set; COVERAGE=1 measures all but the kills (half an hour).
ifdef COVERAGE
PYTEST_OPTIONS := --ignore=tests/chaos --timeout 400 --cov --cov-report=term-missing:skip-covered
else ifeq ($(ALL)$(CI),)
PYTEST_OPTIONS := -m 'not long'
endif

.DEFAULT_GOAL := help
.PHONY: help venv up test lint format docs pins bench clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

venv: $(STAMP) ## make .venv and install everything into it

# A new list of packages installs again; an environment whose Python has gone is made anew.
$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" && '$(PYTHON)' -c '$(PYTHON_IS_FIT)' 2>/dev/null || { \
		echo "error: Python 3.11 or newer with its venv module is needed, and PYTHON='$(PYTHON)' is not it." >&2; \
		echo "On Debian or Ubuntu: apt-get install python3 python3-venv. Elsewhere: make PYTHON=/path/to/python3" >&2; \
		exit 1; }
	@'$(BIN)/python' -c '' 2>/dev/null || '$(PYTHON)' -m venv --clear $(VENV)
	@echo "installing into $(VENV) (once; a minute or two)"
	@'$(BIN)/python' -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[channels,console,embedded,memory,rabbitmq,sessions,dev]'
	@touch $@

up: $(STAMP) ## start everything on this machine; Ctrl-C stops it
	@exec $(BIN)/callboard up

test: $(STAMP) ## run the tests but the long ones; ALL=1 runs all, COVERAGE=1 measures, ARGS="-k name" picks some
	$(BIN)/python -m pytest -n $(WORKERS) $(PYTEST_OPTIONS) $(ARGS)

lint: $(STAMP) ## check style, types and the floors of the house
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP) ## put the code into shape
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

docs: $(STAMP) ## build the reference pages from the code
	$(BIN)/python -m observability.docs
	$(BIN)/python -m cli.docs

pins: $(STAMP) ## write what is installed into constraints.txt
	{ $(BIN)/pip freeze --exclude-editable; echo async-timeout==5.0.1; } | sort -fu > constraints.txt
	touch $(STAMP)

# The peers' environments are made in .callboard/bench; the results end up in bench/results.
bench: $(STAMP) ## measure Callboard beside its peers; PEERS=a,b CASES=drain,idle REPEATS=5 pick a part
	$(BIN)/python -m bench.compare $(if $(PEERS),--peers $(PEERS)) $(if $(CASES),--cases $(CASES)) \
		$(if $(REPEATS),--repeats $(REPEATS)) --out bench/results/latest.json || { \
		$(BIN)/python -m bench.report bench/results/latest.json; exit 1; }
	$(BIN)/python -m bench.report bench/results/latest.json

clean: ## remove what can be made again; .callboard, the data, stays
	rm -rf $(VENV) build dist *.egg-info .coverage .coverage.* .hypothesis .import_linter_cache
	rm -rf .mypy_cache .pytest_cache .ruff_cache
