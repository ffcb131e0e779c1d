# SPDX-License-Identifier: GPL-3.0-or-later
# What one types here: `make` lists it. Each target sets up what it needs, with visible progress, and repeats without redoing.
SHELL := /bin/bash
TOOLS := tests/tools
PYTEST := $(TOOLS)/run pytest
# Two at a time, each with a lab of its own, file by file: most of a test on the lab is waiting.
WORKERS := --numprocesses=2 --dist=loadfile --no-loadscope-reorder
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/kubeovn-core-lab

.DEFAULT_GOAL := help
.PHONY: help demo test test-full bench lint unit lab lab-down venv build docs clean distclean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

demo: ## a whole site on this machine: lab up, gateways, a VM with an EIP, proof, failover; leaves the lab up
	$(TOOLS)/run python tests/demo

test: ## everything that fits an hour: unit tests, linters, integration tests and Molecule scenarios on a lab of its own
	$(TOOLS)/setup test
	$(PYTEST) -v $(WORKERS) -m "not full"

test-full: ## `make test` and what takes longer; generated tests with new examples each time
	$(TOOLS)/setup test
	HYPOTHESIS_PROFILE=random $(PYTEST) -v $(WORKERS)

bench: ## figures and ratios, on a lab of its own, as a table; fails when one is missed
	$(TOOLS)/setup bench
	$(PYTEST) -v -s --lab-name bench --lab-boot nspawn tests/bench

lint: venv ## only the linters and style checkers
	.venv/bin/pytest -v tests/checks

unit: venv ## only the unit tests
	.venv/bin/pytest tests/unit

lab: ## the lab, up (name "site"), for looking around: tests/lab/lab status
	$(TOOLS)/setup lab
	tests/lab/lab up

lab-down: ## ends that lab; nothing of it stays but its logs
	$(TOOLS)/setup tools
	tests/lab/lab down

venv: ## the Python environment .venv, and Debian packages that unit tests need
	$(TOOLS)/setup tools

build: venv ## the collection's tarball, in this folder
	.venv/bin/ansible-galaxy collection build --force

docs: venv ## the plugins' documentation as HTML, in folder site
	$(TOOLS)/docs site

clean: ## what builds, tools and tests left in the checkout
	rm -rf .ansible .hypothesis .mypy_cache site .pytest_cache .ruff_cache kubeovn-core-*.tar.gz
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: lab-down clean ## `make clean`, and all that the lab built and downloaded
	tests/lab/lab clean
	rm -rf $(CACHE)/venv-* $(CACHE)/importer-* $(CACHE)/checkouts $(CACHE)/sanity-home .venv
