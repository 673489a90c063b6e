# Every target is one line to read in `make help`. Only POSIX sh, and a make as old as 3.81.

SHELL = /bin/sh
PY = .venv/bin/python
STAGE ?= prod
MAKE_VENV = { echo "Making .venv with $$("$$python" --version) …"; "$$python" -m venv --clear .venv; }

.DEFAULT_GOAL = help
.DELETE_ON_ERROR:
.PHONY: help install run ingest replay api-key pii-key test check format clean package deploy destroy redrive

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

install: .venv/installed ## Make .venv with everything in it (the other targets do so themselves)

run: .venv/installed ## Start everything; PORT=8000
	@exec $(PY) -m local.run

ingest: .venv/installed ## Run one ingest now; PAGES=20 SIZE=1000
	@exec $(PY) -m local.ingest $(if $(PAGES),--pages '$(PAGES)') $(if $(SIZE),--size '$(SIZE)')

api-key: .venv/installed ## Make an API key; SCOPES=read,operate,erase
	@exec $(PY) -m local.api_key $(if $(SCOPES),--scopes '$(SCOPES)')

test: .venv/installed ## Run all tests; TESTARGS="-k token"
	@exec $(PY) -m pytest --cov=app --cov=chalicelib --cov=local --cov=infra --cov-branch \
		--cov-report=term:skip-covered $(TESTARGS)

pii-key: .venv/installed ## Add a key for the tokens, and say what to do next
	@exec $(PY) -m local.pii_key

replay: .venv/installed ## Put a run's sealed rejects through today's rules; RUN=id
	@exec $(PY) -m local.ingest --replay '$(RUN)'

package: .venv/installed ## Build the package for AWS in build/; STAGE=prod
	@rm -rf 'build/$(STAGE)' .chalice/deployments
	@exec $(PY) -m infra.package --stage '$(STAGE)'

deploy: package ## Deploy to AWS, after a question; STAGE=prod SETTINGS=file.json PARAMETERS="Name=value" YES=1
	@exec $(PY) -m infra.deploy deploy --stage '$(STAGE)' --settings '$(SETTINGS)' --parameters '$(PARAMETERS)' \
		$(if $(YES),--yes)

destroy: .venv/installed ## Delete the app from AWS, after a question; STAGE=prod ALL=1 YES=1
	@exec $(PY) -m infra.deploy destroy --stage '$(STAGE)' $(if $(ALL),--all) $(if $(YES),--yes)

redrive: .venv/installed ## Work the pages in the dead-letter queue again; STAGE=prod
	@exec $(PY) -m infra.redrive --stage '$(STAGE)'

check: .venv/installed ## Check style, types and the order of the house
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@$(PY) -m pytest -q tests/test_house.py

format: .venv/installed ## Put the code into the house style
	@$(PY) -m ruff check --fix --quiet .
	@$(PY) -m ruff format .

clean: ## Remove local data, keys and caches (.venv stays)
	@if $(PY) -c 'import dotenv, psutil' 2>/dev/null; then $(PY) -m local.clean; else rm -rf .local; fi
	@rm -rf .coverage htmlcov .pytest_cache .mypy_cache .ruff_cache .hypothesis build .chalice/deployments
	@find . -name __pycache__ -not -path "./.venv/*" -prune -exec rm -rf {} +

# The stamp is written last, so that an interrupted installation begins again. An environment whose Python is gone,
# or not the one that PYTHON asks for, is made anew.
.venv/installed: requirements.txt requirements-dev.txt $(PY) $(if $(PYTHON),.venv/of-$(subst /,-,$(PYTHON)))
	@echo "Installing …"
	@$(PY) -m pip install -qq --disable-pip-version-check -r requirements-dev.txt
	@touch $@

.venv/of-%: $(PY)
	@python=$$(sh local/find_python.sh) || exit 1; \
	version='import sys; print(sys.version_info[:2])'; \
	test "$$($(PY) -c "$$version")" = "$$("$$python" -c "$$version")" || $(MAKE_VENV)
	@touch $@

$(PY):
	@python=$$(sh local/find_python.sh) || exit 1; $(MAKE_VENV)
