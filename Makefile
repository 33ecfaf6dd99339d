# Winnow. `make help` lists the targets.
SHELL := bash
PYTHON ?= python3
CORES ?= all
# Relative paths, and programs started through python: the path of this folder may contain blanks and quotes.
BIN := .venv/bin
STAMP := .venv/.installed
DEV_STAMP := .venv/.installed-dev
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check --no-warn-script-location
SNAKEMAKE := $(BIN)/python -m snakemake --profile profiles/local --cores $(CORES)
# Linux without an NVIDIA driver, and not Windows with WSL.
CPU_ONLY := $(shell test "$$(uname)" = Linux && ! test -e /dev/nvidiactl && ! test -e /dev/dxg && echo yes)
CPU_INDEX := https://download.pytorch.org/whl/cpu

.PHONY: help install demo plan clusters docs test bench test-all test-faults test-slurm test-real test-browser test-studies lint format lock pictures
.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' Makefile

install: $(STAMP) ## create the environment .venv from lock.txt (the other targets do it when needed)

demo: $(STAMP) ## run the default config offline, from corpora to tables and a report
	@$(SNAKEMAKE)
	@if [ ! -f results/report.html ] || [ -n "$$(find results/tables -newer results/report.html)" ]; then \
		$(SNAKEMAKE) --report results/report.html > results/report.log 2>&1 || { cat results/report.log; exit 1; }; \
	fi
	@echo; echo "Seconds by rule (several jobs run at a time):"; $(BIN)/python -m winnow timings --folder results/timings
	@echo; sed '/: accuracy by labels used/,$$d' results/tables/sst2-mini.curves.md
	@echo; echo "Seeds per arm needed to detect an effect of 0.01, at 1.5 hours per run:"
	@$(BIN)/python -m winnow power --table results/tables/pile-mini.csv --gap 0.01 --hours-a-run 1.5
	@echo; echo "Tables: $$PWD/results/tables/ (first: sst2-mini.curves.html, then sst2-mini.md: the figures at the last number of labels)"
	@echo "Snakemake's report: $$PWD/results/report.html"
	@echo "Report, open this first: $$PWD/results/report/index.html"

plan: $(STAMP) ## show what a run will take: jobs, hours, memory, disk (RUN=my.yaml)
	@$(BIN)/python -m winnow plan $(RUN)

clusters: $(STAMP) ## write pages that show the clusters, and exclusion templates (RUN=my.yaml)
	@$(SNAKEMAKE) clusters $(if $(RUN),--configfile $(RUN))

test: $(DEV_STAMP) ## run the fast tests
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow and not real and not browser and not slurm and not faults"

test-all: $(DEV_STAMP) ## run all tests, including the slow ones
	@WINNOW_EXAMPLES=100 $(BIN)/python -m pytest -m "not study and not browser and not slurm and not faults"

test-real: $(DEV_STAMP) ## run the workflow on real text (folder WINNOW_DATA) at a reduced size
	@$(BIN)/python -m pytest -m "real and not study" tests/end_to_end

test-browser: $(DEV_STAMP) ## drive the review page and the report in a headless Chromium (apt-get install chromium, or WINNOW_CHROMIUM)
	@$(BIN)/python -m pytest -m browser -s -rs tests/workflow tests/unit

test-slurm: $(DEV_STAMP) ## run small runs and their faults on a real SLURM, as root: installs Debian's, starts and stops it
	@$(BIN)/python -m pytest -m slurm tests/slurm

test-faults: $(DEV_STAMP) ## kill runs at random moments and feed hostile inputs, an hour (WINNOW_KILLS, WINNOW_DEMO_KILLS)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m faults -rs tests

test-studies: $(DEV_STAMP) ## run the studies at full size from a stand-in of the Hub's cache, hours (WINNOW_DATA)
	@$(BIN)/python -m pytest -m study -s tests/end_to_end

bench: $(DEV_STAMP) ## run all benchmarks, up to half an hour; figures in results/bench.jsonl (tests/benchmarks/README.md)
	@rm -f results/bench.jsonl
	@for script in documents bench_sample bench_cluster bench_embed bench_train bench_evaluate bench_profile bench_start bench_workflow calibrate; do \
		echo "== $$script"; WINNOW_BENCH=results/bench.jsonl $(BIN)/python tests/benchmarks/$$script.py || exit 1; \
	done
	@$(BIN)/python tests/benchmarks/common.py results/bench.jsonl

lint: $(DEV_STAMP) ## check format, style, import layers, types and the workflow
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m ruff format --check .
	@PATH="$$PWD/$(BIN):$$PATH" $(BIN)/python -m snakefmt --check Snakefile workflow/Snakefile workflow/rules
	@$(BIN)/python $(BIN)/lint-imports --no-cache --no-logo
	@$(BIN)/python -m mypy
	@$(BIN)/python -m snakemake --lint

format: $(DEV_STAMP) ## format Python and Snakemake files
	@$(BIN)/python -m ruff check --fix .
	@$(BIN)/python -m ruff format .
	@PATH="$$PWD/$(BIN):$$PATH" $(BIN)/python -m snakefmt Snakefile workflow/Snakefile workflow/rules

pictures: $(STAMP) ## draw the pictures of the README from the demo's results (requires chromium)
	@$(SNAKEMAKE)
	@$(SNAKEMAKE) clusters
	@for picture in report=report/index.html=1280,900 review=pile-mini/clusterings/minilm-k22/review.html=1180,760; do \
		IFS== read -r name page size <<< "$$picture"; \
		chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --virtual-time-budget=4000 --window-size=$$size \
			--screenshot="docs/$$name.png" "file://$$PWD/results/$$page" 2> results/logs/chromium.log || exit 1; \
	done

docs: $(DEV_STAMP) ## build the documentation site, site/index.html; broken links and anchors are errors
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --clean
	@echo "$$PWD/site/index.html"

lock: ## resolve lock.txt again (requires uv)
	@envs/lock.sh

$(STAMP): lock.txt requirements.txt pyproject.toml envs/pip.txt envs/torch-cpu.txt
	@echo "Creating .venv from lock.txt (once; two minutes or more)"
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	@$(PIP) --require-hashes -r envs/pip.txt
	@test -z "$(CPU_ONLY)" || $(PIP) --require-hashes --no-deps -r envs/torch-cpu.txt 2> .venv/torch-cpu.log || \
		echo "pip finds no CPU build of torch and will install the CUDA build (several GB). To get the CPU build, stop this and run: PIP_EXTRA_INDEX_URL=$(CPU_INDEX) make install"
	@$(PIP) --require-hashes -c lock.txt -r requirements.txt
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

$(DEV_STAMP): $(STAMP) requirements-dev.txt
	@$(PIP) --require-hashes -c lock.txt -r requirements-dev.txt
	@touch $@
