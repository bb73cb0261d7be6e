# `make` alone lists what there is. Settings (HOST, PORT, DATA_DIR, LIBRARY …) are read from the
# environment, and a variable given to make, as in `make run PORT=9000`, becomes part of it.

PYTHON ?= python3
VENV   ?= .venv
# What `make bench` holds the service against is installed apart.
BENCH  ?= .venv-bench
# So is what `make load` plays people with.
LOAD   ?= .venv-load
ARGS   ?=
RUN    := $(VENV)/bin/python -m
# The tests with clients in JavaScript are for where there is an npm.
CLIENTS := $(if $(shell command -v npm),tests/clients/node_modules/installed)
# What the page has from others.
VENDOR := app/static/vendor
PAGE   := $(VENDOR)/installed
# Node.js knows authorities of its own; npm is to trust whom this machine trusts, as pip does.
export NODE_EXTRA_CA_CERTS ?= $(wildcard /etc/ssl/certs/ca-certificates.crt)

MEASURED := --reference-python $(BENCH)/bin/python

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run page test check format bench bench-check growth soak cluster nginx load lock clean clean-data

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' Makefile

run: $(VENV)/installed $(PAGE) ## run the service: http://127.0.0.1:8000 unless HOST and PORT say otherwise
	@exec $(RUN) app serve

page: $(PAGE) ## install what the page at / has from npm; `make run` does it too
	@[ -e $(PAGE) ]

test: $(VENV)/installed-dev $(PAGE) $(CLIENTS) ## run the tests; ARGS="-k name" goes to pytest
	@$(RUN) pytest $(ARGS)

check: $(VENV)/installed-dev ## check format, lint and types
	@$(RUN) ruff format --check app tests
	@$(RUN) ruff check app tests
	@$(RUN) mypy

format: $(VENV)/installed-dev ## format the code and mend what can be mended by itself
	@$(RUN) ruff check --fix app tests
	@$(RUN) ruff format app tests

bench: $(VENV)/installed-dev $(BENCH)/installed ## measure what a chat costs, in 10 minutes; ARGS="--only burst"
	@$(RUN) tests.bench $(MEASURED) --svg bench.svg --json bench.json $(ARGS)

bench-check: $(VENV)/installed-dev $(BENCH)/installed ## fail where a chat costs more than is written down
	@$(RUN) tests.bench $(MEASURED) --check --only instructions,syscalls,single,burst $(ARGS)

load: $(VENV)/installed-dev $(LOAD)/installed ## have 30 people ask for a minute; ARGS="--users 50" in locust's page
	@exec $(RUN) tests.load --python $(LOAD)/bin/python $(ARGS)

growth: $(VENV)/installed-dev ## measure the search as a library grows; ARGS="50000" for other sizes
	@$(RUN) tests.bench.growth $(ARGS)

soak: $(VENV)/installed-dev ## restart workers under 200 streams for 10 minutes; ARGS="--minutes 1"
	@$(RUN) tests.soak $(ARGS)

cluster: $(VENV)/installed-dev ## run a Redis cluster of three nodes to try the service on, until Ctrl-C
	@exec $(RUN) tests.cluster

nginx: $(VENV)/installed-dev $(PAGE) ## run two workers behind a real nginx until Ctrl-C; PORT=8080 for its port
	@exec $(RUN) tests.deploy

lock: ## choose the newest versions that pyproject.toml allows (needs uv: pip install uv)
	@command -v uv >/dev/null || { echo "make lock needs uv: pip install uv" >&2; exit 1; }
	@$(call compile,requirements.lock,--extra embedded --extra ingest)
	@$(call compile,requirements-dev.lock,--all-extras)

# Not a part of `lock`: what measures is to stay the same. Remove one to choose its versions anew.
requirements-bench.lock requirements-load.lock: requirements-%.lock:
	@uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --group $* \
		--no-emit-index-url --no-header --no-annotate --output-file $@

clean: ## remove the environments and all caches; the data in .data stays
	rm -rf $(VENV) $(BENCH) $(LOAD) .mypy_cache .pytest_cache .ruff_cache .hypothesis tests/clients/node_modules
	rm -rf $(VENDOR)/node_modules $(VENDOR)/*.js $(VENDOR)/*.css $(VENDOR)/*.LICENSE $(PAGE)
	find app tests -name __pycache__ -type d -prune -exec rm -rf {} +

clean-data: ## remove .data: the embedded servers' database and memory, for good
	rm -rf .data

# What builds the project is locked too, so that it installs without a second, hidden environment.
compile = printf 'hatchling\neditables\n' | uv pip compile --quiet --upgrade --universal --generate-hashes \
	--python-version 3.11 --no-emit-index-url --no-header --no-annotate \
	--output-file $(1) $(2) pyproject.toml - && echo "$(1) is up to date"

# The stamps are newer than what they were installed from. The second has all of the first.
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

# The API runs without the page, so this does not end `make run`: it is tried again the next time.
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

# With the machine's npm, else with one out of a wheel, installed apart and removed again.
define npm
if command -v npm >/dev/null; then npm ci --prefix $(1) --loglevel=error; \
else echo "There is no npm: installing Node.js from PyPI, for once…"; \
	$(PYTHON) -m venv --clear $(VENV)/node && \
	$(VENV)/node/bin/pip install -qq --disable-pip-version-check --require-hashes \
		-r requirements-node.lock && \
	PATH="$(abspath $(VENV))/node/bin:$$PATH" npm ci --prefix $(1) --loglevel=error; \
	status=$$?; rm -rf $(VENV)/node; [ $$status = 0 ]; fi
endef

define install
if ! $(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
then echo "Python 3.11 or newer with its venv module is needed, and $(PYTHON) is not that:" \
	"name another, as in: make PYTHON=python3.13" >&2; exit 1; fi; \
if $(RUN) pip --version >/dev/null 2>&1; then echo "Bringing $(VENV) up to date…"; \
else echo "Installing into $(VENV) (the first time takes about half a minute)…"; \
	$(PYTHON) -m venv --clear $(VENV); fi && \
$(RUN) pip install -qq --disable-pip-version-check --require-hashes -r $(1) && \
$(RUN) pip install -qq --disable-pip-version-check --no-build-isolation --no-deps -e .
endef

.PHONY: screenshots
screenshots: $(VENV)/installed-dev $(PAGE) ## take the README's pictures of the page again (needs Chromium)
	@$(RUN) tests.page.screenshots
