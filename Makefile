# `make` lists the targets. Settings (HOST, PORT, DATA_DIR, LIBRARY …) come from the environment or
# from the command line, as in `make run PORT=9000`.

PYTHON ?= python3
VENV   ?= .venv
# The reference service of `make bench` and the load generator of `make load` have environments of
# their own.
BENCH  ?= .venv-bench
LOAD   ?= .venv-load
ARGS   ?=
RUN    := $(VENV)/bin/python -m
# One process per core, each with its own PostgreSQL and Valkey.
PYTEST := $(RUN) pytest --numprocesses auto --maxprocesses 8 --dist worksteal
# JavaScript clients are tested only if npm is installed.
CLIENTS := $(if $(shell command -v npm),tests/clients/node_modules/installed)
# Third-party JavaScript of the page.
VENDOR := app/static/vendor
PAGE   := $(VENDOR)/installed
# Node.js has its own list of CAs; make npm trust those of this machine.
export NODE_EXTRA_CA_CERTS ?= $(wildcard /etc/ssl/certs/ca-certificates.crt)

REFERENCE := --reference-python $(BENCH)/bin/python

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run page test test-all check format bench bench-check growth train soak hostile cluster nginx load screenshots lock clean clean-data

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' Makefile

run: $(VENV)/installed $(PAGE) ## run the service at http://127.0.0.1:8000; HOST and PORT change the address
	@exec $(RUN) app serve

page: $(PAGE) ## install the page's JavaScript libraries from npm; `make run` does this too
	@[ -e $(PAGE) ]

test: $(VENV)/installed-dev $(PAGE) ## run the fast tests, in about 5 minutes; ARGS="-k name" for pytest
	@$(PYTEST) -m "not slow" $(ARGS)

test-all: $(VENV)/installed-dev $(PAGE) $(CLIENTS) ## run all tests: also browsers, nginx, crashes, fuzzing
	@$(PYTEST) $(ARGS)

check: $(VENV)/installed-dev ## check formatting, lint and types
	@$(RUN) ruff format --check app tests
	@$(RUN) ruff check app tests
	@$(RUN) mypy

format: $(VENV)/installed-dev ## format the code and apply automatic lint fixes
	@$(RUN) ruff check --fix app tests
	@$(RUN) ruff format app tests

bench: $(VENV)/installed-dev $(BENCH)/installed ## measure the cost of a chat in 10 minutes; ARGS="--only burst"
	@$(RUN) tests.bench $(REFERENCE) --svg bench.svg --json bench.json $(ARGS)

bench-check: $(VENV)/installed-dev $(BENCH)/installed ## fail if a chat costs more than the recorded limits
	@$(RUN) tests.bench $(REFERENCE) --check --only instructions,syscalls,single,burst $(ARGS)

load: $(VENV)/installed-dev $(LOAD)/installed ## simulate 30 users for a minute; ARGS="--users 50" for more
	@exec $(RUN) tests.load --python $(LOAD)/bin/python $(ARGS)

growth: $(VENV)/installed-dev ## measure search as a library grows; ARGS="50000" for other sizes
	@$(RUN) tests.bench.growth $(ARGS)

train: $(VENV)/installed-dev ## learn the weights that decide "no answer" again; ARGS="SET…", see tests/training/README.md
	@$(RUN) tests.training $(ARGS)

soak: $(VENV)/installed-dev ## restart workers under 200 streams for 10 minutes; ARGS="--minutes 1"
	@$(RUN) tests.soak $(ARGS)

hostile: $(VENV)/installed-dev ## attack two workers beside 50 streams for 3 minutes; ARGS="--minutes 1"
	@$(RUN) tests.hostile $(ARGS)

cluster: $(VENV)/installed-dev ## run a Redis cluster of three nodes until Ctrl-C
	@exec $(RUN) tests.cluster

nginx: $(VENV)/installed-dev $(PAGE) ## run two workers behind nginx until Ctrl-C; PORT=8080 for its port
	@exec $(RUN) tests.deploy

screenshots: $(VENV)/installed-dev $(PAGE) ## take the README's screenshots of the page (needs Chromium)
	@$(RUN) tests.page.screenshots

lock: ## update the lock files to the newest allowed versions (needs uv)
	@command -v uv >/dev/null || { echo "make lock needs uv. Install it: pip install uv" >&2; exit 1; }
	@$(call compile,requirements.lock,--extra embedded --extra ingest)
	@$(call compile,requirements-dev.lock,--all-extras)

# Not part of `lock`, so that measurements stay comparable. To update one, remove the file first.
requirements-bench.lock requirements-load.lock: requirements-%.lock:
	@uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --group $* \
		--no-emit-index-url --no-header --no-annotate --output-file $@

clean: ## remove environments and caches, but not .data
	rm -rf $(VENV) $(BENCH) $(LOAD) .mypy_cache .pytest_cache .ruff_cache .hypothesis tests/clients/node_modules
	rm -rf $(VENDOR)/node_modules $(VENDOR)/*.js $(VENDOR)/*.css $(VENDOR)/*.LICENSE $(PAGE)
	find app tests -name __pycache__ -type d -prune -exec rm -rf {} +

clean-data: ## delete .data: the embedded database and all conversations
	rm -rf .data

# The build requirements are locked too: the project is installed without build isolation.
compile = printf 'hatchling\neditables\n' | uv pip compile --quiet --upgrade --universal --generate-hashes \
	--python-version 3.11 --no-emit-index-url --no-header --no-annotate \
	--output-file $(1) $(2) pyproject.toml - && echo "$(1) is up to date"

# Stamp files: requirements-dev.lock contains all of requirements.lock.
$(VENV)/installed: requirements.lock pyproject.toml
	@$(call install,requirements.lock)
	@touch $@

$(VENV)/installed-dev: requirements-dev.lock pyproject.toml
	@$(call install,requirements-dev.lock)
	@touch $(VENV)/installed $@

$(BENCH)/installed: requirements-bench.lock
$(LOAD)/installed: requirements-load.lock
$(BENCH)/installed $(LOAD)/installed:
	@echo "Installing into $(@D)…"
	@$(PYTHON) -m venv --clear $(@D)
	@$(@D)/bin/pip install -qq --disable-pip-version-check --require-hashes -r $<
	@touch $@

tests/clients/node_modules/installed: tests/clients/package-lock.json
	@npm ci --prefix tests/clients --loglevel=error
	@touch $@

# A failure does not stop `make run`, since the API works without the page. The next run retries.
$(PAGE): $(VENDOR)/package-lock.json
	@{ $(call npm,$(VENDOR)) && cd $(VENDOR) && \
	cp node_modules/dompurify/dist/purify.es.mjs dompurify.js && \
	cp node_modules/dompurify/LICENSE dompurify.LICENSE && \
	cp node_modules/marked/lib/marked.esm.js marked.js && \
	cp node_modules/marked/LICENSE* marked.LICENSE && \
	cp node_modules/swagger-ui-dist/swagger-ui-bundle.js swagger-ui.js && \
	cp node_modules/swagger-ui-dist/swagger-ui.css swagger-ui.css && \
	cat node_modules/swagger-ui-dist/LICENSE node_modules/swagger-ui-dist/NOTICE \
		node_modules/swagger-ui-dist/swagger-ui-bundle.js.LICENSE.txt > swagger-ui.LICENSE && \
	rm -rf node_modules && touch installed; } || \
	echo "The page's libraries could not be installed from npm: there is the API, but no page." >&2

# Use the installed npm, or else Node.js from PyPI in a temporary environment.
define npm
if command -v npm >/dev/null; then npm ci --prefix $(1) --loglevel=error; \
else echo "npm is not installed: using a temporary Node.js from PyPI…"; \
	$(PYTHON) -m venv --clear $(VENV)/node && \
	$(VENV)/node/bin/pip install -qq --disable-pip-version-check --require-hashes \
		-r requirements-node.lock && \
	PATH="$(abspath $(VENV))/node/bin:$$PATH" npm ci --prefix $(1) --loglevel=error; \
	status=$$?; rm -rf $(VENV)/node; [ $$status = 0 ]; fi
endef

define install
if ! $(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
then echo "$(PYTHON) is not Python 3.11 or newer with its venv module." \
	"Choose another one: make PYTHON=python3.13" >&2; exit 1; fi; \
if $(RUN) pip --version >/dev/null 2>&1; then echo "Updating $(VENV)…"; \
else echo "Installing into $(VENV) (about half a minute)…"; \
	$(PYTHON) -m venv --clear $(VENV); fi && \
$(RUN) pip install -qq --disable-pip-version-check --require-hashes -r $(1) && \
$(RUN) pip install -qq --disable-pip-version-check --no-build-isolation --no-deps -e .
endef
