# `make app` and `make test` are all one needs; everything lies in .venv and nothing is installed outside it, except
# Chromium, PostgreSQL and python3-venv from the distribution, where this may be done.
PYTHON ?= python3
PORT ?= 5006
BIN := .venv/bin

.PHONY: app test test-long lint benchmarks chromium postgresql

# A browser may come by either name of this machine; any other origin is refused.
app: .venv/app
	$(BIN)/panel serve gasnet_app --address 127.0.0.1 --port $(PORT) \
	  --allow-websocket-origin=localhost:$(PORT) --allow-websocket-origin=127.0.0.1:$(PORT)

test: .venv/test chromium postgresql
	$(BIN)/python -m pytest

test-long: .venv/test chromium postgresql
	$(BIN)/python -m pytest -m "slow or not slow"

lint: .venv/test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

benchmarks: .venv/app
	$(BIN)/python -m benchmarks

# Debian and Ubuntu keep venv in a package of its own.
.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or later is needed; say: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { $(call apt,python3-venv); } || \
	  { echo "Python cannot make environments here. Install it: sudo apt install python3-venv"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/app: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

.venv/test: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	@touch $@ .venv/app

# Browser tests skip, and say so, where there is no Chromium and no right to install it. Ubuntu's chromium package is
# a snap, which containers cannot run: Playwright brings its own there.
chromium: .venv/test
	@for name in chromium chromium-browser google-chrome; do command -v $$name >/dev/null && exit; done; \
	  { $(call apt,chromium); } \
	  || $(BIN)/playwright install chromium \
	  || echo "No Chromium, and no right to install it: browser tests will be skipped (sudo apt install chromium)"

# Tests of inspections start a server of their own; they skip, and say so, where it cannot be installed.
postgresql:
	@command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || { $(call apt,postgresql); } \
	  || echo "No PostgreSQL, and no right to install it: its tests will be skipped (sudo apt install postgresql)"

# Install a package with apt-get, if this user may without being asked for a password.
define apt
command -v apt-get >/dev/null && if [ "$$(id -u)" = 0 ]; then do=env; else sudo -n true 2>/dev/null && do="sudo env"; fi \
  && $$do DEBIAN_FRONTEND=noninteractive sh -c 'apt-get update -q && apt-get install -q -y $(1)' >&2 </dev/null
endef
