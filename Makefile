# sms-bridge. `make run` and `make test` install what is missing first; neither asks anything.
SHELL := /bin/sh
.DEFAULT_GOAL := help
# mosquitto and smsd live in /usr/sbin, which a Debian user's PATH leaves out.
export PATH := $(CURDIR)/.venv/bin:$(PATH):/usr/sbin:/sbin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

BIN := .venv/bin
PATHS := hardware sms_bridge tests bench
WORKERS ?= 2
ARGS ?=

.PHONY: help run docs install test test-quick test-plug test-kill test-kernel test-ha soak lint bench nightly clean distclean

help: ## this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

run: ## set up what is missing and start the bridge here (ARGS="--config FILE")
	@scripts/bootstrap.sh run
	@scripts/run.sh $(ARGS)

test: ## set up what is missing and run every check and test
	@scripts/bootstrap.sh test
	@scripts/check.sh
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

test-quick: ## the checks and the fast rings only, for the next minute of work
	@scripts/bootstrap.sh test
	@scripts/check.sh
	@$(BIN)/python -m pytest -q tests/unit tests/exchange $(ARGS)

test-kernel: ## the kernel lab: USB sticks come and go in a virtual machine (ARGS="-m short" for a minute of it)
	@scripts/bootstrap.sh kernel
	@$(BIN)/python -m tests.kernel $(ARGS)

test-plug: ## 500 times a stick is pulled, in every state, with orders under way (some minutes)
	@scripts/bootstrap.sh test
	@PLUG_CYCLES=$${PLUG_CYCLES:-500} $(BIN)/python -m pytest -q -s tests/system/test_plug_cycles.py $(ARGS)

test-kill: ## kill -9 of the bridge at 200 random points with 50 orders each (some minutes)
	@scripts/bootstrap.sh test
	@KILL_POINTS=$${KILL_POINTS:-200} $(BIN)/python -m pytest -q -s tests/system/test_kill.py $(ARGS)

test-ha: ## against Home Assistant itself, which is fetched first (HA=<version>, else the newest that a Python here may run)
	@scripts/bootstrap.sh test
	@scripts/home_assistant.sh
	@HA_VENV=.venv-ha $(BIN)/python -m pytest -q -s --timeout 180 tests/home_assistant $(ARGS)

test-proof: ## the fifteen scenarios in their long form (some minutes)
	@scripts/bootstrap.sh test
	@PROOF_LONG=1 $(BIN)/python -m pytest -q -s tests/system/scenarios $(ARGS)

soak: ## a mixed load while things go wrong at random, and the count (DURATION=30m FAULT_EVERY=5s KILL_EVERY=0 SEED=…)
	@scripts/bootstrap.sh test
	@$(BIN)/python -m tests.soak --duration $${DURATION:-30m} --fault-every $${FAULT_EVERY:-5s} \
		--kill-every $${KILL_EVERY:-0} --seed $${SEED:-20261122} $(ARGS)

install: ## as a service of this machine (systemd, udev rules); sudo make install
	@scripts/install.sh

docs: ## write the pages that are made from the code: schemas, AsyncAPI, OpenAPI, every key
	@scripts/docs.sh

lint: ## ruff, mypy and import-linter
	@scripts/bootstrap.sh test
	@scripts/check.sh

bench: ## the measurements of docs/development.md; prints a table and writes JSON
	@scripts/bootstrap.sh test
	@$(BIN)/python -m bench $(ARGS)

# No property needs four hours: one that does hangs.
nightly: ## the property tests with 100 000 examples each (two hours)
	@scripts/bootstrap.sh test
	@HYPOTHESIS_PROFILE=nightly $(BIN)/python -m pytest -n $(WORKERS) --timeout 14400 tests/unit tests/exchange $(ARGS)

clean: ## remove caches and build products; keeps .venv and data
	@rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache bench/results
	@find hardware sms_bridge tests bench -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## also remove .venv, Home Assistant's and the lab's kernel
	@rm -rf .venv .venv-ha .lab sms_bridge.egg-info
