# Everything lives in .venv; nothing outside this folder is touched but PYLON_HOME (the database).
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
WORKERS ?= 4
PYTEST := $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

# What is compiled once is kept, whatever the environment says: the tests start Python some hundred times.
test test-unit soak: export PYTHONDONTWRITEBYTECODE :=

# Your own installer's settings say where packages come from; the lock files do not.
LOCK   := uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
          --no-emit-find-links --no-header --quiet --extra server --group build

.PHONY: help up test test-unit soak lint check bench lock docs clean

help: ## Say what each target does.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: $(VENV)/.server ## Install, set everything up, load the grid and serve it on http://127.0.0.1:8000.
	@exec $(BIN)/pylon up

test: $(VENV)/.dev ## Run every test, in WORKERS=4 processes (POSTGRES=folder of programs for another PostgreSQL).
	$(PYTEST) $(if $(POSTGRES),--postgres $(POSTGRES)) tests

test-unit: $(VENV)/.dev ## Run the tests that need no network, database or clock.
	$(BIN)/python -m pytest -q tests/unit tests/contracts

soak: $(VENV)/.dev ## Repeat what is repeated at random as often as is published (tampers, kills, decisions), and live through a year.
	$(PYTEST) --soak tests/integration/test_log_tampers.py tests/integration/test_killed_actions.py tests/integration/test_execute.py \
	  tests/integration/test_killed_pipeline.py tests/integration/test_recompute.py tests/integration/test_year.py \
	  tests/integration/test_backtest.py tests/benchmarks/test_replay.py

lint: $(VENV)/.dev ## Check style, types, imports and derived files.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/pylon derive --check

check: lint test ## Do everything the continuous integration does with one PostgreSQL.

bench: $(VENV)/.dev ## Measure what is published in docs/benchmarks.md, each figure beside its peer.
	$(BIN)/python benchmarks/refresh.py
	$(BIN)/python benchmarks/live_state.py
	$(BIN)/python benchmarks/object_api.py
	$(BIN)/python benchmarks/arrival.py
	$(BIN)/python benchmarks/battery.py
	$(BIN)/python benchmarks/decide.py
	$(BIN)/python benchmarks/log.py
	$(BIN)/python benchmarks/start_up.py

lock: ## Write requirements/*.txt anew (needs uv): versions and hashes, for every Python and platform, no addresses.
	$(LOCK) --output-file requirements/server.txt
	$(LOCK) --extra picture --group dev --constraint requirements/server.txt --output-file requirements/dev.txt

docs: $(VENV)/.dev ## Write the files that follow from the ontology: schema/ and docs/reference/.
	$(BIN)/pylon derive

clean: ## Remove the environment and every cache; the database stays (`pylon db reset` deletes it).
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Pylon needs Python 3.11 or later; $(PYTHON) is $$($(PYTHON) --version). Try: make PYTHON=python3.12 up"; exit 1; }
	@echo "Making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.server: requirements/server.txt pyproject.toml | $(VENV)/bin/pip
	@echo "Installing Pylon and what it needs into $(VENV) (a minute or so, once)"
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/server.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@echo "Compiling the planners for this machine (half a minute, once)"
	@$(BIN)/python -m pylon.services._plan_worker </dev/null & \
	    $(BIN)/python -c "from pylon.planning import arrival; arrival.warm()"; wait
	@touch $@

$(VENV)/.dev: requirements/dev.txt pyproject.toml | $(VENV)/bin/pip
	@echo "Installing Pylon and what its tests need into $(VENV) (a minute or so, once)"
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r requirements/dev.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@echo "Compiling the planner for this machine (some seconds, once)"
	@$(BIN)/python -c "from pylon.planning import arrival; arrival.warm()"
	@touch $@ $(VENV)/.server
