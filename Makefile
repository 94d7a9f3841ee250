# Everything here works from a fresh clone; see README.md.
PYTHON := .venv/bin/python
DJANGO := $(PYTHON) manage.py
# Tests of real parts: one after the other, in the order of their files. Those in a
# browser by themselves: Playwright keeps the process's event loop.
REAL := docker or bubblewrap or browser or node or postgres or site
.DEFAULT_GOAL := help
.PHONY: help up venv dev demo test test-fast check format bench soak lock

help: ## Say what can be made
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1 \2/p' $(MAKEFILE_LIST) | column -t -l 3 2>/dev/null \
		|| sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1: \2/p' $(MAKEFILE_LIST)

up: ## Start the whole site
	@python3 agentsite/bootstrap.py up

venv: ## Make the virtual environment
	@python3 agentsite/bootstrap.py venv

dev: ## The same, with what development needs
	@python3 agentsite/bootstrap.py dev

demo: venv ## Have an agent do a real job on the running site
	@$(PYTHON) examples/audit/job.py

test: test-fast ## Run every test, real Docker included
	$(PYTHON) -m pytest -p no:randomly -m "browser and not soak"
	$(PYTHON) -m pytest -p no:randomly -m "($(REAL)) and not (browser or soak)"

test-fast: dev ## Run what needs neither Docker nor network
	$(PYTHON) -m pytest -q -n 2 --dist loadfile -m "not ($(REAL) or soak)"

check: dev ## Check style, types, directions, migrations and settings
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	git ls-files -z -- 'templates/*.html' | xargs -0 -r .venv/bin/djade --target-version 5.2 --check
	.venv/bin/djlint templates --lint --quiet
	$(PYTHON) -m mypy
	.venv/bin/lint-imports
	$(DJANGO) makemigrations --check --dry-run
	AGENTSITE_URL=https://agentsite.example $(DJANGO) check --deploy --fail-level WARNING

format: dev ## Put the code into shape
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .
	git ls-files -z -- 'templates/*.html' | xargs -0 -r .venv/bin/djade --target-version 5.2

bench: dev ## Measure; prints a table
	$(PYTHON) -m bench

soak: dev ## Run the long and heavy tests
	$(PYTHON) -m pytest -m soak -o timeout=3600

lock: ## Write both lock files anew
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes pyproject.toml -o requirements.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --group dev pyproject.toml -o requirements-dev.lock
