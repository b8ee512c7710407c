# What people type. Each target says what it does; `make help` lists them.
SHELL := /bin/sh
BIN := .venv/bin
PORT ?= 4200
SHEET ?= campaigns/spring-launch.csv

.PHONY: help setup demo test check server stop lock bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' Makefile

setup: ## make .venv with the locked dependencies, and run one real Prefect task
	@sh deployments/setup.sh

demo: setup ## run campaigns/spring-launch.csv on the embedded defaults
	@$(BIN)/assetline run $(SHEET)

test: setup check ## the whole test suite
	@$(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist loadfile

check: setup ## format, lint, types, import floors: seconds
	@$(BIN)/ruff format --check --quiet . || { echo "Not formatted: .venv/bin/ruff format ."; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

server: setup ## a local Prefect server on SQLite, in the background, with the settings it needs
	@$(BIN)/python -m apps.prefect_server start --port $(PORT)

stop: ## end the server that make server started
	@$(BIN)/python -m apps.prefect_server stop

lock: ## resolve requirements.lock anew (needs uv)
	@uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes --no-header \
	  --no-annotate --upgrade --quiet --output-file requirements.lock
	@! grep -n '://' requirements.lock

bench: setup ## the figures that the README quotes
	@for name in images dedupe overhead; do $(BIN)/python -m benchmarks.$$name || exit 1; done

clean: ## remove what set-up and runs have made here (not your store)
	rm -rf .venv .assetline .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
