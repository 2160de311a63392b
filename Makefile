# All that a fresh machine needs: Python 3.11 or later, make, and the package registry.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable

.PHONY: help quickstart test nightly check bench clean

help: ## this list
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 14

quickstart: $(VENV)/.installed ## set up, then a whole study: a minute or two on two cores
	$(BIN)/nas search quick
	@echo "\nThe command is $(BIN)/nas; 'source $(BIN)/activate' puts it on your path."

test: $(VENV)/.installed-dev ## set up, then the quick tests, on two cores
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

nightly: $(VENV)/.installed-dev ## every test, the slow ones too, properties on fresh examples
	$(BIN)/python -m pytest -m "nightly or not nightly" --hypothesis-profile=fresh

check: $(VENV)/.installed-dev ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.installed-dev ## how fast, against what
	for each in benchmarks/*.py; do $(BIN)/python $$each || exit 1; done

clean: ## remove the environment; studies in runs/ stay
	rm -rf $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(INSTALL) .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(INSTALL) '.[dev,postgres]'
	touch $@
