# `make demo` and `make test` need only Python 3.11 or newer and a network: each makes an environment of its own, and
# makes it again when the dependencies or the C sources change. PYTHON=/path/to/python3 chooses another Python.

PYTHON = $(firstword $(foreach p,python3 python3.13 python3.12 python3.11 python3.14 python,$(shell \
	$(p) -c 'import sys; sys.version_info >= (3, 11) and print("$(p)")' 2>/dev/null)))
DEMO = .venv-demo
TEST = .venv-test
BUILD = pyproject.toml hatch_build.py $(wildcard src/hedgerow/native/*.c src/hedgerow/native/*.h)
SOURCES = $(shell find src -name '*.py' -o -name '*.json' -o -name '*.onnx')

# of fuzzing, a reader
MINUTES ?= 10

# processes that run tests, each a file at a time
JOBS ?= 2

# one thread a process: several would fight for the cores, and the same seed gives the same masks
export OMP_NUM_THREADS = 1
export OPENBLAS_NUM_THREADS = 1
export MKL_NUM_THREADS = 1
export PIP_DISABLE_PIP_VERSION_CHECK = 1
# what is imported is compiled once and kept: tests start hundreds of processes
unexport PYTHONDONTWRITEBYTECODE

help: ## what there is to make
	@sed -n 's/^\([a-z%-]*\):.*## /  make \1 #/p' Makefile | awk -F'#' '{printf "%-22s%s\n", $$1, $$2}'

demo: $(DEMO)/ready ## segment three photos, draw them into demo/, say where
	@$(DEMO)/bin/python docs/demo.py demo

test: $(TEST)/ready browser ## lint, types and all tests; fails if any of them does
	@failed=''; \
	$(MAKE) --no-print-directory lint || failed="$$failed lint"; \
	$(TEST)/bin/mypy || failed="$$failed types"; \
	$(TEST)/bin/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS) || failed="$$failed tests"; \
	test -z "$$failed" || { echo "failed:$$failed"; exit 1; }

test-faults: $(TEST)/ready ## commands killed, disks filled, files damaged, all of it at length: the best part of an hour
	HEDGEROW_FAULTS=full $(TEST)/bin/python -m pytest -n $(JOBS) tests/test_faults.py tests/test_cluster.py $(ARGS)

fuzz: $(TEST)/ready ## every reader under a fuzzer, MINUTES=10 each; what is found is kept in fuzz/
	@$(TEST)/bin/python -m pip install --quiet atheris
	@for reader in $$($(TEST)/bin/python tests/fuzz.py); do echo "$$reader"; \
	PYTHONPATH=tests $(TEST)/bin/python tests/fuzz.py $$reader $(MINUTES) > /tmp/fuzz.$$$$ 2>&1 || \
	{ tail -n 30 /tmp/fuzz.$$$$; rm -f /tmp/fuzz.$$$$; exit 1; }; grep "^stat::number_of" /tmp/fuzz.$$$$; rm -f /tmp/fuzz.$$$$; done

browser: ## Chromium for the tests of the page, where it is missing and may be installed; never fails
	@command -v chromium || command -v chromium-browser || command -v google-chrome || test -n "$$CHROMIUM" || \
	{ test "$$(id -u)" = 0 && command -v apt-get > /dev/null && echo "installing Chromium for the tests of the page" && \
	apt-get update -qq > /dev/null && apt-get install -y -qq --no-install-recommends chromium > /dev/null 2>&1; } || \
	echo "no Chromium here: the tests of the page are skipped (apt-get install chromium, or CHROMIUM=/path/to/it)"

lint: $(TEST)/ready ## ruff alone: rules and layout
	$(TEST)/bin/ruff check .
	$(TEST)/bin/ruff format --check .

bench: ## the benchmarks; `make bench-merge ARGS=--quick` runs one
	@for file in benchmarks/*.py; do name=$${file##*/}; \
	printf '  make bench-%-14s%s\n' "$${name%.py}" "$$(sed -n '1s/^"*//p' $$file)"; done

bench-%: $(TEST)/ready benchmarks/%.py
	$(TEST)/bin/python benchmarks/$*.py $(ARGS)

pictures: demo $(TEST)/ready ## draw the pictures of README.md and docs/ again
	$(TEST)/bin/python docs/pictures.py demo docs/pictures

docs: $(TEST)/ready ## the documentation as a site: site/index.html
	@$(TEST)/bin/sphinx-build -q -W --keep-going docs site && echo "written: site/index.html"

clean: ## remove what this file makes
	rm -rf $(DEMO) $(TEST) demo fuzz site build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests benchmarks docs -name __pycache__ -prune -exec rm -rf {} +
	rm -f src/hedgerow/native/_native.*

# An ordinary install, as users have it, of the sources as they are now. What is imported is compiled then: all of it
# beforehand takes a minute and a half.
$(DEMO)/ready: $(BUILD) $(SOURCES)
	@$(call environment,$(DEMO))
	@echo "installing Hedgerow into $(DEMO): a minute, and again only when it changes"
	@$(DEMO)/bin/python -m pip install --quiet --no-compile '.[demo]'
	@touch $@

# Constrained to one torch: plain pip would take the newest, and some packages bring torchvision, which then must match.
$(TEST)/ready: $(BUILD) tests/constraints.txt
	@$(call environment,$(TEST))
	@echo "installing Hedgerow, torch and the tests' tools into $(TEST): some minutes, and again only when they change"
	@$(TEST)/bin/python -m pip install --quiet --no-compile -c tests/constraints.txt -e '.[train,test,docs]'
	@touch $@

define environment
test -n "$(PYTHON)" || { echo "no Python 3.11 or newer was found: make PYTHON=/path/to/python3"; exit 1; }; \
test -x $(1)/bin/python || $(PYTHON) -m venv $(1)
endef

.PHONY: help demo test test-faults fuzz browser lint bench pictures docs clean
