# The project from a fresh clone: `make run` shows it at work, `make test` proves it, `make help` lists
# the rest. Python 3.11 or 3.12, make and a network or package cache are all that is needed.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

BIN := .venv/bin
UV := $(BIN)/uv pip
INTO := --python $(BIN)/python --require-hashes

# Airflow compiles 3,600 modules at each start of each process unless that was done once, here.
export UV_COMPILE_BYTECODE := 1
unexport PYTHONDONTWRITEBYTECODE
# Another environment that happens to be active is left alone.
unexport VIRTUAL_ENV
# Where pip is told to look, uv looks too.
ifdef PIP_INDEX_URL
ifndef UV_INDEX_URL
export UV_DEFAULT_INDEX ?= $(PIP_INDEX_URL)
endif
endif
ifdef PIP_CERT
export SSL_CERT_FILE ?= $(PIP_CERT)
endif

.PHONY: help run test check bench drill lock clean

help: ## This list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile | expand -t 20

run: .venv/run.stamp ## Everything on this machine, the four jobs once; stays until Ctrl-C (ONCE=1: does not)
	@$(BIN)/crm-ops up $(if $(ONCE),--once)

test: .venv/dev.stamp ## All tests (ARGS="tests/local -k redis": some)
	@$(BIN)/pytest -n 2 --dist loadfile $(ARGS)

check: .venv/dev.stamp ## ruff, mypy, import contracts
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/dev.stamp ## The benchmarks (ARGS="folding --size large": one section); results land in docs/benchmarks
	@$(BIN)/python -m bench $(ARGS)

drill: .venv/dev.stamp ## What must hold when programs race, are killed and lose their cache; minutes
	@$(BIN)/python -m drill $(ARGS)
	@$(BIN)/python -m drill.sharing
	@$(BIN)/python -m drill.audit

lock: .venv/dev.stamp ## Resolve requirements*.txt into the two locks again
	$(UV) compile -q --universal --generate-hashes --python-version 3.11 --no-header --no-annotate \
	  requirements.txt requirements-local.txt -o requirements.lock
	$(UV) compile -q --universal --generate-hashes --python-version 3.11 --no-header --no-annotate \
	  -c requirements.lock requirements-dev.txt -o requirements-dev.lock

clean: ## Remove the environment, the local stack and its data
	@if [ -e .local/lock ] && ! flock -n .local/lock true; then \
	  echo "the local stack is running; stop it with Ctrl-C where it was started" >&2; exit 1; \
	fi
	@if [ -L .local/postgres ]; then rm -rf "$$(readlink .local/postgres)"; fi
	rm -rf .local .venv build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis \
	  .import_linter_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

# What `make run` installs: exactly the lock, and the project itself from this folder.
.venv/run.stamp: $(BIN)/uv requirements.lock pyproject.toml requirements.txt requirements-local.txt
	@echo "installing requirements.lock"
	@$(UV) sync -q $(INTO) requirements.lock
	@$(UV) install -q --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

.venv/dev.stamp: .venv/run.stamp requirements-dev.lock
	@echo "installing requirements-dev.lock"
	@$(UV) install -q $(INTO) -r requirements-dev.lock
	@touch $@

# The lock says which uv, and its hashes.
$(BIN)/uv: requirements.lock | $(BIN)/pip
	@awk '/^uv==/ { on = 1 } on { print; if (!/\\$$/) exit }' requirements.lock > .venv/uv.lock
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --require-hashes \
	  -r .venv/uv.lock
	@touch $@

# pip comes last: with it the environment is whole.
$(BIN)/pip:
	@for python in python3.12 python3.11 python3; do \
	  if $$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' \
	    2> /dev/null; then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "Python 3.11 or 3.12 is needed and none is on the PATH: install python3.12 or python3.11" >&2; \
	  exit 1; \
	fi; \
	if ! $$found -c 'import ensurepip, venv' 2> /dev/null; then \
	  version=$$($$found -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	  echo "$$found lacks venv: install it, on Debian and Ubuntu with" >&2; \
	  echo "  apt install python$$version-venv" >&2; \
	  exit 1; \
	fi; \
	echo "making .venv with $$found"; \
	$$found -m venv --clear .venv
