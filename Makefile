# make eval METHOD=var   evaluate a method beside the greedy baseline
# make test              the tests           make check   lint, types, layout
# make test-lowest       the tests on the lowest versions supported
# make table             every method, into README    make bench   why the model hallucinates
# make families          every method on a tiny model of every family, into docs/families.md
# make world             train the embedded model anew     make matcher   and AGLA's matcher

METHOD ?= var
MODEL  ?= glyph
BENCH  ?= glyph
LIMIT  ?= 300
ARGS   ?=
RUNS   ?= runs
JOBS   ?= 2

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
LOWEST := .venv-lowest

.DEFAULT_GOAL := help
.PHONY: help setup eval leaderboard test test-lowest test-slow check table families schema bench \
	world matcher clean

help:
	@sed -n 's/^# //p' $(firstword $(MAKEFILE_LIST))

$(BIN)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

setup: $(BIN)/.installed

eval: setup
	$(BIN)/halluc eval --model $(MODEL) --method $(METHOD) --benchmarks $(BENCH) --limit $(LIMIT) --output-dir $(RUNS) $(ARGS)
	$(BIN)/halluc leaderboard $(RUNS) --output $(RUNS)/leaderboard.json --skip-unfinished --quiet

leaderboard: setup
	$(BIN)/halluc leaderboard $(RUNS) --output $(RUNS)/leaderboard.json

test: setup
	$(BIN)/python -m pytest -n $(JOBS) -m 'not slow'

$(LOWEST)/.installed: pyproject.toml constraints-lowest.txt
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/pip install --quiet --disable-pip-version-check -c constraints-lowest.txt -e '.[dev]'
	@touch $@

test-lowest: $(LOWEST)/.installed
	$(LOWEST)/bin/python -m pytest -n $(JOBS) -m 'not slow'

test-slow: setup
	$(BIN)/python -m pytest -m slow

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m tests.typecheck

# Every method on the embedded model, written into README.
table: setup
	for method in $$($(BIN)/halluc list methods --json | $(BIN)/python -c 'import json, sys; print(*(row["name"] for row in json.load(sys.stdin)))'); do \
		$(BIN)/halluc eval --model glyph --method $$method --benchmarks glyph --limit 300 --output-dir $(RUNS) || exit 1; \
	done
	$(BIN)/halluc leaderboard $(RUNS) --output $(RUNS)/leaderboard.json --markdown README.md --quiet

families: setup
	$(BIN)/python -m tests.matrix --output docs/families.md

schema: setup
	$(BIN)/python -m halluc.leaderboard.schema

bench: setup
	$(BIN)/python -m bench.why --output docs/why.md
	$(BIN)/python -m bench.matcher --output docs/matcher.md
	$(BIN)/python -m bench.picture

world: setup
	$(BIN)/python -m halluc.world.train --output halluc/world/glyph --work $(RUNS)/world --seed 0

matcher: setup
	$(BIN)/python -m halluc.world.matcher --output halluc/world/matcher --work $(RUNS)/matcher --seed 0

clean:
	rm -rf $(VENV) $(LOWEST) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .staging
