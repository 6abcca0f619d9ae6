# amodal's front door. Everything happens in .venv, made from PYTHON; nothing outside this folder is changed.
#   make demo PYTHON=python3.12            another Python
#   make demo PIP_ARGS="--no-cache-dir"    handed to every `pip install` of the package (a CPU build of PyTorch, say)

PYTHON ?= python3
PIP_ARGS ?=
BENCH ?= $(filter-out $(addprefix benchmarks/,timing.py same_weights.py open_clip_loop.py tiny_families.py),$(wildcard benchmarks/*.py))

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-slow lint docs bench clean

help:
	@echo "make demo       install, train on the bundled set, evaluate, report"
	@echo "make test       install, lint, types, fast tests"
	@echo "make test-slow  the batteries of minutes: kill and resume, the wheel, broken inputs"
	@echo "make lint       ruff and pyright alone"
	@echo "make docs       the documentation site, into site/"
	@echo "make bench      the benchmarks, or BENCH=benchmarks/one.py"
	@echo "make clean      remove .venv, site/ and caches; run folders stay"

demo: $(VENV)/.runtime
	$(BIN)/amodal demo

lint: $(VENV)/.develop
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

test: lint
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 --dist loadscope

test-slow: $(VENV)/.develop
	$(BIN)/python -m pytest -m slow

docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: $(VENV)/.bench
	@set -e; for file in $(BENCH); do echo "== $$file"; $(BIN)/python "$$file"; done

clean:
	rm -rf $(VENV) site build dist .pytest_cache .ruff_cache
	find src tests scripts benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is touched only after its install succeeded: a second run installs nothing, and an interrupted one goes on.
# A half-made environment, or one of an older Python, is made anew.
$(VENV)/.made:
	@command -v "$(PYTHON)" >/dev/null || { echo "'$(PYTHON)' was not found; name a Python 3.11 or newer: make PYTHON=python3.12" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "amodal needs Python 3.11 or newer, and '$(PYTHON)' is $$("$(PYTHON)" -V 2>&1); name another: make PYTHON=python3.12" >&2; exit 1; }
	@"$(PYTHON)" -c 'import venv, ensurepip' || { echo "'$(PYTHON)' has no venv module; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	"$(PYTHON)" -m venv $(VENV) && $(BIN)/python -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' || "$(PYTHON)" -m venv --clear $(VENV)
	$(PIP) install --quiet --upgrade "pip>=25.1"
	@touch $@

$(VENV)/.runtime: $(VENV)/.made pyproject.toml
	$(PIP) install $(PIP_ARGS) -e .
	@touch $@

$(VENV)/.develop: $(VENV)/.runtime
	$(PIP) install $(PIP_ARGS) -e . --group test --group lint
	@touch $@

$(VENV)/.bench: $(VENV)/.runtime
	$(PIP) install $(PIP_ARGS) -e . --group bench
	@touch $@

# The API pages are read from the sources: the site needs none of the runtime's packages, but ruff to lay out signatures.
$(VENV)/.docs: $(VENV)/.made pyproject.toml
	$(PIP) install $(PIP_ARGS) --group docs --group lint
	@touch $@
