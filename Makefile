# Needs Python 3.11 or newer, make and PyPI. Everything is installed into .venv from two locks with exact versions and hashes:
# requirements.lock (to run) and tests/requirements.lock (to test and lint, on top of it). Clients of shops, which tests send through, go
# into .cache/clients from two locks of their own.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input --require-virtualenv
PYTHON_IS_NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
COMPILE := .cache/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate

# As many processes as there are cores, four at most; tests on the shared servers stay in one of them.
PARALLEL := --numprocesses auto --maxprocesses 4 --dist loadgroup

export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.DEFAULT_GOAL := help
.PHONY: help demo servers check test newest soak bench bench-models screenshots lint format install lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' Makefile

demo: .venv/.run ## a shop, live, on this machine alone (SECONDS=60 ends it after a minute)
	@$(BIN)/streamer demo $(if $(SECONDS),--seconds $(SECONDS))

servers: .venv/.run ## a Kafka and a Redis on this machine, without Docker, until Ctrl-C; prints the settings to export
	@exec $(BIN)/python -m streamer.local.servers

check: lint ## lint, types and the fast tests: after each change, a minute on two quiet cores
	@$(BIN)/python -m pytest -m fast $(PARALLEL) $(ARGS)

test: lint .cache/clients/package-lock.json ## lint and all tests; a real Kafka is used where Java 17 and Maven are there (ARGS='-k outbox' passes on to pytest)
	@$(BIN)/python -m pytest $(PARALLEL) $(ARGS)

soak: .venv/.dev ## long seeded runs before something is called done, ten minutes each (ARGS='fuzz --seconds 60' chooses)
	@$(BIN)/python -m tests.soak $(ARGS)

bench: .venv/.dev ## how fast it is here, with rivals on the same job (ARGS='peers --events 300000' is theirs alone, at length)
	@$(BIN)/python -m tests.bench $(ARGS)

bench-models: .venv/.dev ## how good the models are, against batch learning, on real and simulated shops
	@$(BIN)/python -m tests.bench.models $(ARGS)

screenshots: .venv/.dev ## the pictures of the README and of docs/page.md, by the machine's Chromium
	@$(BIN)/python -m tests.screenshots

lint: .venv/.dev ## ruff and pyright
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet
	@$(BIN)/pyright

format: .venv/.dev ## put the code into shape
	@$(BIN)/ruff check --quiet --fix-only
	@$(BIN)/ruff format --quiet

install: .venv/.run ## make .venv with what `streamer` needs to run
	@:

newest: ## all tests on the newest versions that the ranges in pyproject.toml allow, in an environment of their own
	@$(PYTHON) -m venv --clear .cache/newest
	@.cache/newest/bin/python -m pip --quiet --disable-pip-version-check install --upgrade pip
	@.cache/newest/bin/python -m pip --quiet install --editable '.[local,parquet]' --group dev
	@.cache/newest/bin/python -m pytest $(PARALLEL) $(ARGS)

lock: ## make both locks anew from pyproject.toml, keeping pins that still fit (UPGRADE=1 takes the newest)
	@$(PYTHON) -m venv .cache/lock
	@.cache/lock/bin/python -m pip --quiet --disable-pip-version-check install uv
	@echo "hatchling editables" | tr ' ' '\n' | $(COMPILE) $(if $(UPGRADE),--upgrade) --extra local -o requirements.lock pyproject.toml -
	@$(COMPILE) $(if $(UPGRADE),--upgrade) --group dev -c requirements.lock -o tests/requirements.lock
	@$(COMPILE) $(if $(UPGRADE),--upgrade) -o tests/clients/requirements.lock tests/clients/requirements.txt

clean: ## remove everything that was made here
	@rm -rf .venv .cache .pytest_cache .ruff_cache .hypothesis dist
	@find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +

.venv/.run: requirements.lock pyproject.toml
	@$(PYTHON) -c '$(PYTHON_IS_NEW_ENOUGH)' || { echo "streamer needs Python 3.11 or newer; name one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(BIN)/python -c 'import pip; $(PYTHON_IS_NEW_ENOUGH)' 2>/dev/null || { echo "making .venv (once, about a minute)"; \
	  $(PYTHON) -m venv --clear .venv || { rm -rf .venv; echo "this Python cannot make a virtualenv; type: sudo apt-get install -y python3-venv" >&2; exit 1; }; }
	@$(PIP) install --require-hashes --no-deps -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

.venv/.dev: .venv/.run tests/requirements.lock
	@$(PIP) install --require-hashes --no-deps -r tests/requirements.lock
	@touch $@

.cache/clients/package-lock.json: tests/clients/package-lock.json tests/clients/requirements.lock | .venv/.dev
	@$(BIN)/python -m tests.clients.installed || true # their tests say what is missing
