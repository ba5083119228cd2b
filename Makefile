# Needs GNU make and Python 3.11 or newer; everything else comes from the lock files in requirements/.
.DEFAULT_GOAL := help
# `check` ends with the tests' own last line, so lint comes first and alone.
.NOTPARALLEL:

PYTHON ?= python3
PYTHON312 ?= python3.12
PYTHON313 ?= python3.13
# Processes that share the tests.
JOBS ?= 2
# More arguments for pytest: make test ARGS="-k council -x"
ARGS ?=
# The model that `make demo` asks; empty: the demo's own choice.
MODEL ?=

# Importing LiteLLM otherwise fetches its price list.
export LITELLM_LOCAL_MODEL_COST_MAP ?= True
# A personal pip or Python set-up must not change what is installed or imported.
export PIP_USER := 0
export PIP_REQUIRE_VIRTUALENV := 0
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1
unexport PIP_TARGET PIP_PREFIX PIP_CONSTRAINT PIP_REQUIRE_HASHES PIP_NO_BINARY PYTHONHOME PYTHONPATH VIRTUAL_ENV

BIN = .venv/bin
BENCHMARKS = latency stream cpu throughput start growth straggler cancellation telemetry proxy jury injection
# LiteLLM silences this remark of pydantic's on its types, but not in its threads that outlive a test.
export PYTHONWARNINGS := ignore:Item:UserWarning
PYTEST = -m pytest $(ARGS)
# Of all tests, not of a chosen few.
COVERAGE = $(if $(ARGS),,--cov --cov-report=term --cov-fail-under=95)

## Set up

.PHONY: help
help: ## Show this list.
	@awk 'BEGIN { FS = ":.*## " } \
		/^## / { printf "\n%s\n", substr($$0, 4) } \
		/^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

.PHONY: install
install: .venv/.ready ## Make .venv from the lock; done by every other target when it is needed.

.PHONY: lock
lock: .venv-lock/.ready ## Write the lock files anew, from pyproject.toml and requirements/*.in; UPGRADE=1 takes newer releases.
	$(LOCK) --extra mcp --extra otel --extra work --output-file requirements/dev.txt
	$(LOCK) requirements/oldest.in --extra otel --output-file requirements/oldest.txt
	$(LOCK_BARE) requirements/ecosystem.in --extra mcp --output-file requirements/ecosystem.txt
	$(LOCK_BARE) requirements/ecosystem-crewai.in --output-file requirements/ecosystem-crewai.txt
	$(subst pyproject.toml,,$(LOCK_BARE)) requirements/docs.in --constraints requirements/dev.txt --output-file requirements/docs.txt
	$(subst pyproject.toml,,$(LOCK_BARE)) --no-deps requirements/real.in --output-file requirements/real.txt

.PHONY: clean
clean: ## Remove environments, caches and reports.
	rm -rf .venv .venv-* .coverage .coverage.* htmlcov build dist
	rm -rf .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

## Use

.PHONY: demo
demo: .venv/.ready ## Show a deliberation against the fake server; MODEL=... asks that model.
	$(if $(MODEL),MODEL='$(MODEL)') $(BIN)/python -m examples.demo

.PHONY: proxy
proxy: .venv/.ready ## Start a LiteLLM proxy beside the fake server, and print a curl line that works; PORT=... names its port.
	$(BIN)/python -m examples.proxy.start $(if $(PORT),--port $(PORT))

## Check

.PHONY: test
test: .venv/.ready ## Run all tests; fails under 95 % of branches. ARGS="-k council -x" goes to pytest, and nothing is measured.
	$(BIN)/python $(PYTEST) -n $(JOBS) --dist loadgroup $(COVERAGE)

.PHONY: test-unit
test-unit: .venv/.ready ## Run the tests that need no LiteLLM.
	$(BIN)/python $(PYTEST) tests/unit

.PHONY: docs
docs: .venv/.ready ## Run the code in the documents, and check that they are complete.
	$(BIN)/python $(PYTEST) tests/docs

.PHONY: docs-site
docs-site: .venv-docs/.locked ## Build the documentation site into build/site; its first page is build/site/index.html.
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --quiet --strict

.PHONY: lint
lint: .venv/.ready ## Check style, types and the direction of imports.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: fix
fix: .venv/.ready ## Mend what ruff can mend.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: soak
soak: .venv/.ready ## Let 5,000 runs go through a storm of failures; RUNS=... for fewer.
	$(BIN)/python -m soak $(if $(RUNS),--runs $(RUNS))

.PHONY: bench
bench: .venv/.ready ## Measure latency, CPU, throughput and the rest beside the same calls by hand; ONLY="cpu stream" for some.
	@for name in $(or $(ONLY),$(BENCHMARKS)); do \
		echo "== $$name"; $(BIN)/python -m benchmarks.$$name --json build/benchmarks/$$name.json || exit 1; done

.PHONY: check
check: lint test ## All that a change has to pass.

.PHONY: test-oldest
test-oldest: .venv-oldest/.ready ## Run the integration tests on the oldest supported LiteLLM.
	.venv-oldest/bin/python $(PYTEST) -n $(JOBS) --dist loadgroup tests/integration

.PHONY: test-newest
test-newest: newest .venv-newest/.ready ## Run the integration tests on the newest LiteLLM that installs today.
	.venv-newest/bin/python $(PYTEST) -n $(JOBS) --dist loadgroup tests/integration

.PHONY: newest
newest: .venv-lock/.ready
	$(PYTHON) requirements/newest.py .venv-lock/bin/uv build/newest.txt

build/newest.txt: ; @$(MAKE) --no-print-directory newest

.PHONY: test-py312
test-py312: .venv-py312/.ready ## Run all tests on Python 3.12; PYTHON312=... names it.
	.venv-py312/bin/python $(PYTEST) -n $(JOBS) --dist loadgroup

.PHONY: test-py313
test-py313: .venv-py313/.ready ## Run all tests on Python 3.13; PYTHON313=... names it.
	.venv-py313/bin/python $(PYTEST) -n $(JOBS) --dist loadgroup

.PHONY: test-ecosystem
test-ecosystem: .venv-ecosystem/.ready .venv-ecosystem-crewai/.ready ## Run agent frameworks with a composite as their model.
	.venv-ecosystem-crewai/bin/python $(PYTEST) tests/ecosystem/test_crewai.py
	.venv-ecosystem/bin/python $(PYTEST) tests/ecosystem --ignore=tests/ecosystem/test_crewai.py

.PHONY: test-real
test-real: .venv/.ready .venv-real/.locked ## Run against llama.cpp's server with a small model; MODEL=path.gguf or API_BASE=... names another one.
	REAL_PYTHON=.venv-real/bin/python $(if $(MODEL),REAL_MODEL='$(MODEL)') $(if $(API_BASE),REAL_ENDPOINT='$(API_BASE)') \
		$(BIN)/python $(PYTEST) $(if $(API_BASE),--force-enable-socket) tests/real

.PHONY: bench-real
bench-real: .venv/.ready .venv-real/.locked ## Does it pay with a real model, on generated questions; QUESTIONS=n, MODEL=path.gguf or API_BASE=... to change it.
	REAL_PYTHON=.venv-real/bin/python LITELLM_LOCAL_MODEL_COST_MAP=True $(BIN)/python -m benchmarks.real \
		$(if $(QUESTIONS),--questions $(QUESTIONS)) $(if $(MODEL),--weights '$(MODEL)') $(if $(API_BASE),--api-base '$(API_BASE)')

# Environments. Two stamps: `.locked` when the lock is in, `.ready` when the checkout is in too, so that an edit of
# pyproject.toml costs seconds.
# $(call environment,directory,interpreter,lock)
define environment
$(1)/.locked: $(3)
	@'$(2)' -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "'$(2)' is missing or older than Python 3.11; name another one: PYTHON=... (PYTHON312=..., PYTHON313=...)" >&2; exit 1; }
	@'$(2)' -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "'$(2)' cannot make environments with pip; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	'$(2)' -m venv --clear $(1)
	$(1)/bin/python -m pip install --quiet --no-deps -r $(3)
	@touch $$@

$(1)/.ready: $(1)/.locked pyproject.toml
	$(1)/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $$@
endef
$(eval $(call environment,.venv,$(PYTHON),requirements/dev.txt))
$(eval $(call environment,.venv-oldest,$(PYTHON),requirements/oldest.txt))
$(eval $(call environment,.venv-newest,$(PYTHON),build/newest.txt))
$(eval $(call environment,.venv-py312,$(PYTHON312),requirements/dev.txt))
$(eval $(call environment,.venv-py313,$(PYTHON313),requirements/dev.txt))
$(eval $(call environment,.venv-ecosystem,$(PYTHON),requirements/ecosystem.txt))
$(eval $(call environment,.venv-ecosystem-crewai,$(PYTHON),requirements/ecosystem-crewai.txt))
$(eval $(call environment,.venv-docs,$(PYTHON),requirements/docs.txt))
$(eval $(call environment,.venv-real,$(PYTHON),requirements/real.txt))

# One lock for every supported Python and platform; an address never enters it.
LOCK = $(LOCK_BARE) --group dev --extra proxy
LOCK_BARE = .venv-lock/bin/uv pip compile pyproject.toml --universal --python-version 3.11 --fork-strategy fewest $(if $(UPGRADE),--upgrade) \
	--system-certs --quiet --no-annotate --no-emit-index-url --no-emit-find-links \
	--custom-compile-command 'make lock'

.venv-lock/.ready:
	'$(PYTHON)' -m venv --clear .venv-lock
	.venv-lock/bin/python -m pip install --quiet uv==0.13.8
	@touch $@
