# Winnow. `make help` lists the targets.
PYTHON ?= python3
BIN := .venv/bin
CORES ?= $(shell nproc)
STAMP := .venv/.installed
DEV_STAMP := .venv/.installed-dev
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

$(STAMP): lock.txt requirements.txt pyproject.toml
	@echo "Making .venv from lock.txt"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(PIP) --require-hashes -r envs/pip.txt
	@$(PIP) --require-hashes -c lock.txt -r requirements.txt
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

$(DEV_STAMP): $(STAMP) requirements-dev.txt
	@$(PIP) --require-hashes -c lock.txt -r requirements-dev.txt
	@touch $@
