# Every step from a clean clone to a demo or a test run. PYTHON picks the interpreter: make demo PYTHON=python3.12
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast lint types format browser docs example clean

help:  ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV)/demo.stamp: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "neuronlake needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[demo]'
	touch $@

$(VENV)/dev.stamp: $(VENV)/demo.stamp
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[demo,dev]'
	touch $@

demo: $(VENV)/demo.stamp  ## Set everything up and run the demo
	$(BIN)/cli demo

browser:  ## Install Chromium, which the tests of the report open
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || \
	  { $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq --no-install-recommends chromium; }

test: $(VENV)/dev.stamp browser  ## Set up what the tests need and run them all
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m 'not cluster and not cuda' -n 2 --dist loadfile
	$(BIN)/python -m pytest -m 'cluster or cuda'

test-fast: $(VENV)/dev.stamp  ## Run the tests that need no real network and no browser
	$(BIN)/python -m pytest -m 'not slow'

build/typing:
	mkdir -p $@ && ln -sfn ../.. $@/neuronlake

lint: $(VENV)/dev.stamp  ## Lint Python and SQL, and hold imports against what pyproject.toml declares
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/deptry .
	$(BIN)/deptry tests benchmarks --exclude build --extend-exclude build --ignore DEP002,DEP004
	$(BIN)/sqlfluff lint sql --disable-progress-bar

types: $(VENV)/dev.stamp build/typing  ## Check types
	$(BIN)/basedpyright

format: $(VENV)/dev.stamp  ## Format Python and SQL
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/sqlfluff fix sql --disable-progress-bar

docs: $(VENV)/demo.stamp  ## Write docs/sql.md from the SQL files
	mkdir -p build docs && $(BIN)/python -m neuronlake.sql.reference > build/sql.md && mv build/sql.md docs/sql.md

example: $(VENV)/demo.stamp  ## Rebuild warehouse.duckdb.example with the demo
	rm -rf build/example && mkdir -p build/example
	NEURONLAKE_CACHE=/tmp/neuronlake-example $(BIN)/cli demo --folder build/example
	$(BIN)/python -c "import duckdb; duckdb.execute(\"attach 'build/example/demo.duckdb' as made (read_only); \
	    attach 'build/example/small.duckdb' as small (block_size 65536); copy from database made to small\")"
	mv build/example/small.duckdb warehouse.duckdb.example

clean:  ## Remove the virtual environment and what was built
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
