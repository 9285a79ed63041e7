# One environment in .venv, from the lock files alone. The stamps make a second call quick.
.DEFAULT_GOAL := help
SHELL := /bin/sh
.SHELLFLAGS := -eu -c
.DELETE_ON_ERROR:

# The newest Python that TensorFlow has wheels for; override with `make PYTHON=... test`.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
	&& echo $$p && break; done)

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
# What an interrupted installation has left, pip takes for installed.
AGAIN = $(if $(wildcard .venv/unfinished),--ignore-installed)
CODE := daemon connectors deploy tests setup.py $(wildcard examples)

help:  ## Say what there is to make
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

demo: .venv/runtime  ## Install, and train on a live stream while you watch
	@$(BIN)/learnd demo

demo-kafka: .venv/dev  ## Start a real Kafka broker (needs Java 17), and train on a topic while you watch
	@$(BIN)/python examples/kafka/demo.py

test: lint types layers  ## Everything that CI runs
	$(BIN)/python -m pytest -q -n 3 --no-loadscope-reorder

lint: .venv/dev  ## Style and likely mistakes
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)

types: .venv/dev build/links  ## Static types
	$(BIN)/mypy

layers: .venv/dev build/links  ## Which module may import which
	PYTHONPATH=build/links $(BIN)/lint-imports --no-cache

bench: .venv/dev  ## Measure, side by side, into docs/benchmarks.md
	$(BIN)/python tests/bench/run.py

quality: .venv/dev  ## Measure what drift detection and reactions are worth, into docs/benchmarks.md
	$(BIN)/python tests/bench/run.py quality

torture: .venv/dev  ## Two hundred kills, and the tests that are too slow for `test`
	$(BIN)/python -m pytest -q -rA -o 'norecursedirs=.*' -o timeout=3600 tests/torture
	$(BIN)/python -m pytest -q -m slow

drills: .venv/dev  ## Break a running daemon in each way that an alert is for, with a real Prometheus, into docs/runbooks
	@PYTHONPATH=tests/drills:tests/support:tests/kafka $(BIN)/python -P tests/drills/outcomes.py forget
	$(BIN)/python -m pytest -q -n 3 -o 'norecursedirs=.*' tests/drills
	@PYTHONPATH=tests/drills:tests/support:tests/kafka $(BIN)/python -P tests/drills/outcomes.py table

docs: .venv/dev  ## Write docs/settings.md from the settings models
	$(BIN)/python -m learnd.daemon.config.reference docs/settings.md

dashboards: .venv/dev  ## Write what is made in deploy/: Grafana's dashboards, and the rules for Kubernetes
	$(BIN)/python -m deploy.dashboards
	$(BIN)/python -m deploy.kubernetes

image-test:  ## Build the image without a container engine, and run it; needs root, buildah and debootstrap
	tests/image/run.sh

lock:  ## Choose newer dependencies; needs uv
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --only-binary :all: \
		--upgrade --output-file requirements.lock pyproject.toml
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --only-binary :all: \
		--upgrade --constraint requirements.lock --extra dev --output-file requirements-dev.lock pyproject.toml
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --only-binary :all: \
		--upgrade --constraint requirements.lock --extra image --no-emit-package tensorflow --no-emit-package libclang \
		--output-file requirements-image.lock pyproject.toml

clean:  ## Remove what make has made
	rm -rf .venv build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

# The package as it is installed, for tools that read files and follow no editable installation.
build/links: Makefile
	@mkdir -p build/links/learnd
	@for folder in daemon connectors; do ln -sfn "$(CURDIR)/$$folder" build/links/learnd/$$folder; done
	@for file in daemon/public/*.py; do ln -sfn "$(CURDIR)/$$file" build/links/learnd/; done
	@touch build/links

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "learnd needs Python 3.11 to 3.13 with venv (on Debian: apt install python3-venv)," \
		"and found none; name one with make PYTHON=/path/to/python3.12" >&2; exit 1; }
	$(PYTHON) -m venv .venv

.venv/runtime: requirements.lock pyproject.toml setup.py | .venv/bin/python
	@touch .venv/unfinished
	$(PIP) install --quiet $(AGAIN) --require-hashes --only-binary :all: -r requirements.lock
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@rm .venv/unfinished
	@touch $@

.venv/dev: requirements-dev.lock .venv/runtime
	@touch .venv/unfinished
	$(PIP) install --quiet $(AGAIN) --require-hashes --only-binary :all: -r requirements-dev.lock
	@rm .venv/unfinished
	@touch $@

.PHONY: help demo demo-kafka test lint types layers bench quality torture drills docs dashboards image-test lock clean
