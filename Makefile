# Winnow. `make help` lists the targets.
PYTHON ?= python3
CORES ?= all
BIN := $(CURDIR)/.venv/bin
STAMP := .venv/.installed
DEV_STAMP := .venv/.installed-dev
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check --no-warn-script-location
SNAKEMAKE := $(BIN)/snakemake --profile profiles/local --cores $(CORES)

.PHONY: help demo clusters test test-all test-real lint format lock
.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(STAMP) ## run the embedded default, from corpora to tables; ends with the path of the report
	@$(SNAKEMAKE)
	@if [ ! -f results/report.html ] || [ -n "$$(find results/tables -newer results/report.html)" ]; then \
		$(SNAKEMAKE) --report results/report.html > results/report.log 2>&1 || { cat results/report.log; exit 1; }; \
	fi
	@echo; echo "Seconds by rule (two jobs at a time):"; $(BIN)/python -m winnow.timings --folder results/timings
	@echo; sed '/^## Tests/,$$d' results/tables/pile-mini.md
	@echo; echo "Seeds an arm to see a gap of 0.01, at 1.5 hours a run:"
	@$(BIN)/python -m winnow.costs power --table results/tables/pile-mini.csv --gap 0.01 --hours-a-run 1.5
	@echo; echo "Report: $(CURDIR)/results/report.html"
	@echo "Tables: $(CURDIR)/results/tables/ (main table: pile-mini.md)"

clusters: $(STAMP) ## pages that show the clusters of the run (RUN=my.yaml), with a template for exclusions
	@$(SNAKEMAKE) clusters $(if $(RUN),--configfile $(RUN))

test: $(DEV_STAMP) ## run the fast tests
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow and not real"

test-all: $(DEV_STAMP) ## run every test, the slow ones too
	@$(BIN)/python -m pytest

test-real: $(DEV_STAMP) ## run the workflow on real text (WINNOW_DATA), in a reduced size
	@$(BIN)/python -m pytest -m real tests/end_to_end

lint: $(DEV_STAMP) ## formatters, linters and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@PATH="$(BIN):$$PATH" $(BIN)/snakefmt --check Snakefile workflow/rules
	@$(BIN)/mypy
	@$(BIN)/snakemake --lint

lock: ## resolve lock.txt anew (needs uv)
	@envs/lock.sh

$(STAMP): lock.txt requirements.txt pyproject.toml envs/pip.txt envs/torch-cpu.txt
	@echo "Making .venv from lock.txt (two minutes or more, once)"
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	@$(PIP) --require-hashes -r envs/pip.txt
	@test -e /dev/nvidiactl || $(PIP) --require-hashes --no-deps -r envs/torch-cpu.txt 2> /dev/null || true
	@$(PIP) --require-hashes -c lock.txt -r requirements.txt
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

$(DEV_STAMP): $(STAMP) requirements-dev.txt
	@$(PIP) --require-hashes -c lock.txt -r requirements-dev.txt
	@touch $@
