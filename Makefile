.PHONY: help demo test coverage browser docs docs-serve lint notebook oracle rehearsal constraints clean
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV ?= .venv
ORACLE_PYTHON ?= $(PYTHON)
ORACLE_VENV ?= .venv-oracle
GOLDEN := build/golden
REHEARSAL := build/rehearsal

full := $(if $(FULL),--full)
# One thread on small networks, where two would wait for each other.
rehearse := $(if $(FULL),,TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1) $(ORACLE_VENV)/bin/python scripts/rehearsal
install = PYTHON=$(PYTHON) VENV=$(VENV) TORCH=$(TORCH) sh scripts/install.sh
build_site = NO_MKDOCS_2_WARNING=1 $(VENV)/bin/python -m mkdocs build --quiet --strict
documentation := tests/test_documentation.py tests/test_doctests.py tests/scripts/docs

help: ## show these lines
	@echo "make TARGET [PYTHON=python3.12] [VENV=.venv] [TORCH=cpu]"
	@awk -F ': ## ' '/^[a-z-]+: ## / { printf "  %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## install what the demo needs, run it, print its leaderboard, write its page
	@$(install) demo
	@$(VENV)/bin/bench run experiment=demo
	@$(VENV)/bin/bench report results --output results/report.html

test: ## install what the tests need, run them; those of the documentation are a part of make docs
	@$(install) test
	@$(VENV)/bin/python -m pytest $(documentation:%=--ignore=%)

# On Python 3.12 and later lines are counted by sys.monitoring, which costs a tenth.
coverage: ## run the tests, fail where they run fewer lines than pyproject.toml asks for
	@$(install) test
	@COVERAGE_CORE=$$($(VENV)/bin/python -c 'import sys; print("sysmon" if sys.version_info >= (3, 12) else "ctrace")') \
		$(VENV)/bin/python -m pytest --cov

browser: ## try the report's page and the documentation in Chromium; needs chromium and chromedriver
	@$(install) test
	@$(build_site)
	@BENCH_TEST_BROWSER=1 $(VENV)/bin/python -m pytest tests/report/test_page.py tests/scripts/docs/test_site.py

docs: ## build the documentation into build/site, try its code; fails on broken links and undocumented names
	@$(install) test
	@$(build_site)
	@echo "Documentation: build/site/index.html"
	@$(VENV)/bin/python -m pytest -n auto $(documentation)

docs-serve: ## show the documentation at http://127.0.0.1:8000, and again whenever it changes
	@$(install) docs
	@NO_MKDOCS_2_WARNING=1 $(VENV)/bin/python -m mkdocs serve --watch bench --watch conf --watch scripts/docs

lint: ## check style, format, layers and types
	@$(install) dev
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/lint-imports --no-logo
	@$(VENV)/bin/python -m mypy

notebook: ## run the notebooks of examples/ again, and write them with what they show
	@$(install) test
	@$(VENV)/bin/python scripts/execute_notebook.py examples/*.ipynb

oracle: ## compare with the real Xplique and Keras, live (FULL=1: every setting, larger images, all networks)
	@$(install) test
	@PYTHON=$(ORACLE_PYTHON) sh scripts/oracle/install.sh $(ORACLE_VENV)
	@rm -rf $(GOLDEN)
	$(ORACLE_VENV)/bin/python scripts/oracle/curves.py $(GOLDEN) $(if $(FULL),--full)
	$(ORACLE_VENV)/bin/python scripts/oracle/mufidelity.py $(GOLDEN)
	$(ORACLE_VENV)/bin/python scripts/oracle/ties.py $(GOLDEN) $(if $(FULL),--full)
	$(ORACLE_VENV)/bin/python scripts/oracle/methods.py $(GOLDEN)
	$(ORACLE_VENV)/bin/python scripts/oracle/backbones.py $(GOLDEN)/backbones --tiny
	$(VENV)/bin/python -m pytest tests/metrics tests/test_ties.py tests/attribution/test_golden_methods.py tests/backbones/test_keras_golden.py --golden $(GOLDEN)
	$(ORACLE_VENV)/bin/python scripts/oracle/backbones.py $(GOLDEN)/full/backbones $(if $(FULL),,resnet101)
	OMP_NUM_THREADS=$$(nproc) $(VENV)/bin/python -m pytest tests/backbones/test_keras_golden.py --golden $(GOLDEN)/full
	@rm -rf $(GOLDEN)/full # gigabytes

rehearsal: ## run the published experiments on stand-ins, compare with the real Xplique (FULL=1: full networks, about an hour)
	@$(install) test
	@PYTHON=$(ORACLE_PYTHON) sh scripts/oracle/install.sh $(ORACLE_VENV)
	@rm -rf $(REHEARSAL)
	$(rehearse)/assets.py $(REHEARSAL)/assets $(full)
	$(rehearse)/reference.py $(REHEARSAL)/assets $(REHEARSAL)/expected $(full)
	$(VENV)/bin/python scripts/rehearsal/compare.py $(REHEARSAL)/assets $(REHEARSAL)/expected $(REHEARSAL)/results $(full)
	@rm -rf $(REHEARSAL)/assets/weights # gigabytes, if full

constraints: ## write constraints.txt with the newest versions; needs the oldest Python of pyproject.toml
	@$(install) dev
	@$(VENV)/bin/python scripts/write_constraints.py

clean: ## remove the virtual environments and the build outputs, keep results and data
	rm -rf $(VENV) $(ORACLE_VENV) build dist *.egg-info
