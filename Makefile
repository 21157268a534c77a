.PHONY: demo test lint clean
PYTHON ?= python3
VENV ?= .venv

install = PYTHON=$(PYTHON) VENV=$(VENV) sh scripts/install.sh

demo: ## install what the demo needs, run it, print its leaderboard
	@$(install) demo
	@$(VENV)/bin/bench run experiment=demo

test: ## install what the tests need, run them
	@$(install) test
	@$(VENV)/bin/python -m pytest

lint: ## check style and format
	@$(install) dev
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .

clean: ## remove the virtual environment and the build outputs, keep results and data
	rm -rf $(VENV) build dist *.egg-info
