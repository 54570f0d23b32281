# Regulars. `make` alone prints the commands; everything else installs what it needs first.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

BIN := .venv/bin
PY := $(BIN)/python
READY := .venv/ready
PACKAGES := shared services stack bench tests
TIDY := tests/test_tidy.py tests/test_contracts.py tests/test_locks.py tests/test_docs.py \
	tests/test_deploy.py
T ?=

help:
	@printf 'usage: make COMMAND\n\n'
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## Install everything from the lock into .venv

demo: $(READY) ## Start all, live a store's life through it, show what happened, stop
	$(PY) -m stack demo

test: $(READY) ## Run the tests on real Kafka and PostgreSQL; T=path narrows
	$(PY) -m pytest -m "not long" $(T)

test-long: $(READY) ## Run all tests, those at full size too; T=path narrows
	$(PY) -m pytest $(T)

check: $(READY) ## All that needs no services: format, lint, types, contracts, house rules
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(PY) -m mypy $(PACKAGES) conftest.py
	$(BIN)/lint-imports --no-logo
	$(PY) -m shared.events schemas
	$(PY) -m pytest --quiet $(TIDY)
	$(BIN)/hadolint Dockerfile
	$(BIN)/yamllint --strict docker-compose.yml .yamllint.yaml
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml

fix: $(READY) ## Format, and mend what ruff can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

up: $(READY) ## Start the stack and leave it running; addresses and an admin key in .stack/env
	$(PY) -m stack up

down: $(READY) ## Stop it; the data stay
	$(PY) -m stack down

replay: $(READY) ## Send a real store's history through it: make replay DATA=orders.csv.xz
	@test -n "$(DATA)" || { echo 'make replay: name the file, as in: make replay DATA=orders.csv.xz' >&2; exit 2; }
	$(PY) -m stack replay "$(DATA)"

bench: $(READY) ## Measure: all of bench/, for docs/BENCHMARKS.md
	$(PY) -m bench

# Made again only when the lock changes.
$(READY): requirements.lock .ci/venv
	@.ci/venv

.PHONY: help setup demo test test-long check fix up down replay bench
