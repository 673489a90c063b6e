# Every target has one line in `make help`. Requires only POSIX sh and make 3.81 or newer.

SHELL = /bin/sh
PY = .venv/bin/python
STAGE ?= prod
MAKE_VENV = { echo "Making .venv with $$("$$python" --version) …"; "$$python" -m venv --clear .venv; }

LOCALSTACK_RUNS = $(PY) -c 'import platform, sys; \
	sys.exit(sys.version_info < (3, 12) or (sys.platform, platform.machine()) != ("linux", "x86_64"))'

# Each worker process has its own servers and takes file after file in collection order, in which the slowest come first.
SPREAD = --numprocesses=auto --maxprocesses=4 --dist=loadfile --no-loadscope-reorder

.DEFAULT_GOAL = help
.DELETE_ON_ERROR:
.PHONY: help install run ingest replay api-key pii-key tokens preview localstack localstack-down test coverage leak-test e2e check audit format screenshots clean \
	package deploy destroy redrive soak bench bench-quick

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' Makefile

install: .venv/installed-dev ## Create .venv with everything in it (the other targets install what they need)

run: .venv/installed ## Start everything; PORT=8000
	@exec $(PY) -m local.run

ingest: .venv/installed ## Run one ingest now; PAGES=20 SIZE=1000
	@exec $(PY) -m local.ingest $(if $(PAGES),--pages '$(PAGES)') $(if $(SIZE),--size '$(SIZE)')

replay: .venv/installed ## Validate a run's sealed rejects again; RUN=id
	$(if $(RUN),,$(error make replay needs the id of a run, as in `make replay RUN=…`))
	@exec $(PY) -m local.ingest --replay '$(RUN)'

api-key: .venv/installed ## Create an API key; SCOPES=read,operate,erase
	@exec $(PY) -m local.api_key $(if $(SCOPES),--scopes '$(SCOPES)')

pii-key: .venv/installed ## Add a key for the tokens, and print what to do next
	@exec $(PY) -m local.pii_key

tokens: .venv/installed ## Print the token of each line of stdin; FIELD=email
	@exec $(PY) -m local.tokens '$(FIELD)'

preview: .venv/installed ## Show what the dialect makes of a page of the API on stdin; SOURCE_DIALECT=name
	@exec $(PY) -m local.preview

localstack: localstack/.venv/installed ## Deploy into LocalStack without Docker, in the background; PORT=4566
	@exec $(PY) -m local.localstack up

localstack-down: .venv/installed ## Stop LocalStack and remove everything that belongs to it
	@exec $(PY) -m local.localstack down

test: .venv/installed-dev ## Run all tests; TESTARGS="-k token"
	@if $(LOCALSTACK_RUNS); then $(MAKE) --no-print-directory localstack/.venv/installed; fi
	@exec $(PY) -m pytest $(SPREAD) $(COVER) $(TESTARGS)

coverage: COVER = --cov=app --cov=chalicelib --cov=local --cov=infra --cov-branch --cov-report=term:skip-covered
coverage: test ## Run all tests, and print what none of them reaches; takes a quarter longer

package: .venv/installed ## Build the package for AWS in build/; STAGE=prod
	@rm -rf 'build/$(STAGE)' .chalice/deployments
	@exec $(PY) -m infra.package --stage '$(STAGE)'

deploy: package ## Deploy to AWS, after confirmation; STAGE=prod SETTINGS=file.json PARAMETERS="Name=value" YES=1
	@exec $(PY) -m infra.deploy deploy --stage '$(STAGE)' --settings '$(SETTINGS)' --parameters '$(PARAMETERS)' \
		$(if $(YES),--yes)

destroy: .venv/installed ## Delete the app from AWS, after confirmation; STAGE=prod ALL=1 YES=1
	@exec $(PY) -m infra.deploy destroy --stage '$(STAGE)' $(if $(ALL),--all) $(if $(YES),--yes)

redrive: .venv/installed ## Process the pages in the dead-letter queue again; STAGE=prod
	@exec $(PY) -m infra.redrive --stage '$(STAGE)'

e2e: .venv/installed-dev localstack/.venv/installed ## Run only the tests in LocalStack
	@exec $(PY) -m pytest tests/e2e/in_localstack $(TESTARGS)

soak: .venv/installed-dev ## Make servers, connections and processes fail for MINUTES=30; report what was lost or duplicated
	@exec $(PY) -m tests.faults.soak --minutes '$(or $(MINUTES),30)' $(if $(SEED),--seed '$(SEED)')

leak-test: .venv/installed-dev ## Look for raw values in everything stored, logged or answered; report what was searched
	@exec $(PY) -m pytest -q tests/leaks --leak-report $(TESTARGS)

check: .venv/installed-dev ## Check style, types, security and architecture; AUDIT=no skips the vulnerability database
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@$(PY) -m bandit -c pyproject.toml -q -r -ll app.py chalicelib infra local localstack
	@$(if $(filter no,$(AUDIT)),:,$(PY) -m infra.audit || test $$? -eq 75)
	@$(PY) -m pytest -q tests/test_house.py

audit: .venv/installed-dev ## Check the installed packages for known vulnerabilities
	@exec $(PY) -m infra.audit

format: .venv/installed-dev ## Format the code
	@$(PY) -m ruff check --fix --quiet --exit-zero .
	@$(PY) -m ruff format .

bench: bench/.venv/installed ## Measure everything, and write docs/performance.md (15 to 35 minutes)
	@exec bench/.venv/bin/python -m bench

bench-quick: bench/.venv/installed ## Print the ratios that matter (two to three minutes)
	@exec bench/.venv/bin/python -m bench --quick

screenshots: .venv/installed-dev ## Retake the README's screenshots, from the running page
	@exec $(PY) -m tests.browser.screenshots

clean: ## Remove local data, keys and caches (.venv stays)
	@if $(PY) -c 'import dotenv, psutil' 2>/dev/null; then $(PY) -m local.clean; else rm -rf .local; fi
	@rm -rf .coverage* htmlcov .pytest_cache .mypy_cache .ruff_cache .hypothesis build .chalice/deployments
	@find . -name __pycache__ -not -path "*/.venv/*" -prune -exec rm -rf {} +

# The stamp is written last, so that an interrupted installation starts over. An environment is rebuilt if its Python
# is gone or differs in version from the one that PYTHON names.
.venv/installed: requirements.txt requirements-local.txt $(PY) $(if $(PYTHON),.venv/of-$(subst /,-,$(PYTHON)))
	@echo "Installing …"
	@$(PY) -m ensurepip >/dev/null # its own installation may have been interrupted
	@$(PY) -m pip install -qq --disable-pip-version-check -r requirements-local.txt
	@touch $@

.venv/installed-dev: .venv/installed requirements-dev.txt
	@echo "Installing the tests and checks …"
	@$(PY) -m pip install -qq --disable-pip-version-check -r requirements-dev.txt
	@touch $@

# With the same Python as .venv, which also packages the Lambdas.
localstack/.venv/installed: .venv/installed localstack/requirements.txt localstack/pyproject.toml
	@$(LOCALSTACK_RUNS) || { echo "LocalStack without Docker needs Linux on x86_64 and Python 3.12 or newer: make … PYTHON=python3.13"; exit 1; }
	@echo "Installing LocalStack …"
	@$(PY) -m venv --clear localstack/.venv
	@localstack/.venv/bin/python -m pip install -qq --disable-pip-version-check --no-compile --no-deps -r localstack/requirements.txt
	@localstack/.venv/bin/python -m pip install -qq --disable-pip-version-check --no-deps -e localstack
	@touch $@

# The competitors in the benchmark, which nothing else needs.
bench/.venv/installed: .venv/installed bench/requirements.txt
	@echo "Installing the benchmark …"
	@$(PY) -m venv --clear bench/.venv
	@bench/.venv/bin/python -m pip install -qq --disable-pip-version-check -r bench/requirements.txt
	@touch $@

.venv/of-%: $(PY)
	@python=$$(sh local/find_python.sh) || exit 1; \
	version='import sys; print(sys.version_info[:2])'; \
	test "$$($(PY) -c "$$version")" = "$$("$$python" -c "$$version")" || $(MAKE_VENV)
	@touch $@

$(PY):
	@python=$$(sh local/find_python.sh) || exit 1; $(MAKE_VENV)
