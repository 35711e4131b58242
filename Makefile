# Baishi Desk. `make help` lists what there is; `make run` and `make test` are all that a newcomer needs.

PYTHON ?= $(shell command -v python3 || command -v python)
PY := .venv/bin/python
SETUP := $(PYTHON) scripts/setup.py
export PYTHONDONTWRITEBYTECODE ?=

.DEFAULT_GOAL := help
.PHONY: help run test test-faults coverage drill lint security format bench pictures assets clean

help: ## Show this list
	@sed -nE 's/^([a-z-]+):.*## (.*)$$/  make \1|\2/p' Makefile | awk -F'|' '{ printf "%-16s %s\n", $$1, $$2 }'

run: ## Set up what is missing, then start portal, worker, scheduler and sandbox (PORT=8000 SANDBOX_PORT=8900)
	@$(SETUP) run
	@exec $(PY) scripts/dev.py

test: ## Run all tests on every database that is here (ARGS="tests/domain -k wallet" for some)
	@$(SETUP) test
	@$(PY) scripts/test.py $(ARGS)

test-faults: ## The slow proofs: processes killed again and again, long walks (ARGS as for test)
	@$(SETUP) test
	@$(PY) scripts/test.py --faults $(ARGS)

drill: ## Own servers and clusters killed for minutes or hours (ARGS="chaos", ARGS="galera"; without it the list)
	@$(SETUP) test
	@$(PY) -m tests.drills $(ARGS)

coverage: ## All tests once more, counting the lines and branches that they reach (twice the time)
	@$(SETUP) test
	@$(PY) scripts/test.py --coverage $(ARGS)

lint: ## Style, security and the project's own rules
	@$(SETUP) lint
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m bandit -q -c pyproject.toml -r app tasks sandbox scripts
	@$(PY) -m scripts.rules

security: ## Attack a product of its own and write docs/security.md (ARGS="static tests", ARGS="--help")
	@$(SETUP) test
	@$(PY) -m scripts.security $(ARGS)

format: ## Rewrite the code in the project's style
	@$(SETUP) lint
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

bench: ## Measure, each figure beside its floor of the same run (ARGS="--full" for millions of rows, ARGS="--help")
	@$(SETUP) test
	@$(PY) -m bench.run $(ARGS)

pictures: ## Take the pictures of the README and the handbook anew, by the journeys that pass those pages
	@$(SETUP) test
	@DESK_TAKE_PICTURES=1 DESK_TEST_ENGINES=sqlite $(PY) -m pytest -q tests/e2e

assets: ## Build the front-end files again
	@$(SETUP) assets

clean: ## Remove what was built; the data under instance/ stays
	rm -rf .venv node_modules static/vendor .pytest_cache .ruff_cache .hypothesis htmlcov .coverage .coverage.*
