# Each target sets itself up; nothing outside this directory is touched, but as root on Debian the programs
# that the tests call are installed (tools/setup), their services off.
#
#   make demo      two hosts, a hub and a messenger of their own, seen at work
#   make test      the tests, without the slow ones
#   make check     everything: style, types, manual pages, scripts, all tests
#   make bench     the figures of doc/performance.md
#   make torture   random histories and kills, COUNT= of them from SEED=
#   make lint      style, types, manual pages and scripts alone
#   make clean     remove what these made

PYTHON ?= python3
PY = .venv/bin/python3
COUNT ?= 1000
SEED ?= 1
PYTEST ?=
SCRIPTS = tools/setup .ci/run $(wildcard examples/*.sh)

.PHONY: setup packages demo test check bench torture lint clean

setup: .venv/ready
	@:

.venv/ready: pyproject.toml tools/setup
	@PYTHON="$(PYTHON)" tools/setup venv

packages:
	@tools/setup packages

demo: setup packages
	@$(PY) -m demo

test: setup packages
	@$(PY) -m pytest -m "not slow" $(PYTEST)

check: lint packages
	@$(PY) -m pytest $(PYTEST)

bench: setup packages
	@$(PY) -m benchmarks

torture: setup packages
	@$(PY) -m tests.torture --count=$(COUNT) --seed=$(SEED)

lint: setup packages
	@$(PY) -m ruff check -q .
	@$(PY) -m ruff format -q --check .
	@$(PY) -m mypy
	@if command -v mandoc >/dev/null; then mandoc -Tlint -Wwarning man/*; fi
	@if command -v shellcheck >/dev/null; then shellcheck $(SCRIPTS); fi

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -not -path './.git/*' -exec rm -rf {} +
