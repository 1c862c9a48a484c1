# Everything a developer or CI runs. Each target works on a fresh clone.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
DEMO   ?= demo
DATA   ?=
PIP    := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: demo test lint types docs unit format clean
.DEFAULT_GOAL := test

$(VENV)/.train: pyproject.toml constraints.txt
	@echo "Installing into $(VENV) (PyTorch is large; this takes some minutes once) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) --editable '.[train,pandas]'
	@touch $@

$(VENV)/.dev: $(VENV)/.train
	@echo "Installing what the tests need ..."
	@$(PIP) --editable '.[all,dev,docs]'
	@touch $@

# Real parts for the tests of the service: a browser and a database server.
SYSTEM := chromium postgresql
$(VENV)/.system: $(VENV)/.dev
	@if command -v chromium >/dev/null && ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "Installing $(SYSTEM) ..."; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(SYSTEM) >/dev/null; \
	else echo "Not root: tests that need $(SYSTEM) are skipped unless they are installed."; fi
	@touch $@

demo: $(VENV)/.train  ## Train, evaluate and predict on phantoms, or on DATA=folder
	@$(BIN)/lungscope demo --out $(DEMO) $(if $(DATA),--data $(DATA))

test: lint types docs unit  ## Everything CI runs

lint: $(VENV)/.dev
	$(BIN)/ruff check --no-cache .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

# The site, in ./site; a link that leads nowhere is an error.
docs: $(VENV)/.dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

unit: $(VENV)/.system
	$(BIN)/pytest -n 2 --dist worksteal

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/python docs/tree.py

clean:
	rm -rf $(VENV) $(DEMO) site
