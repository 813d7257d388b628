# make demo and make test do all set-up on a machine with Python 3.11 or newer (with venv) and make.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt
# What pip is asked for first; for a CPU build: make setup TORCH="--index-url URL torch"
TORCH ?= 'torch>=2.6,<2.14'
DATA ?= ../shared/data/fewshot
# Two pytest workers with one thread each are faster than one with two: most tests are many small calls.
WORKERS ?= 2
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false

.PHONY: help setup demo test lint format bench docs pin clean
.DELETE_ON_ERROR:

help:
	@echo "make demo    fit the example tickets and label two messages (3 to 5 minutes)"
	@echo "make test    every test but the slow ones"
	@echo "make lint    ruff and mypy"
	@echo "make bench   slow tests and benchmarks (hours)"
	@echo "make docs    write the generated parts of docs/ again"
	@echo "make clean   remove what was built; the virtual environment stays"

setup: $(VENV)/installed

# Asked for again when what is to be installed changes. torch comes first and alone: a resolver that is free to look
# for a newer one fetches gigabytes of CUDA packages on the way.
$(VENV)/installed: pyproject.toml constraints.txt starter/pyproject.toml starter/fewtune_starter/model/model.safetensors
	@test -n "$(PYTHON)" || { echo "No python3 found. Install Python 3.11 or newer (Debian: apt install python3-venv)."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is older than 3.11. Name a newer one: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
		{ echo "$(PYTHON) cannot make virtual environments. On Debian or Ubuntu: apt install python3-venv"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --quiet $(TORCH)
	$(PIP) --quiet -e '.[dev]'
	$(PIP) --quiet --no-deps ./starter
	@touch $@

demo: $(VENV)/installed
	$(BIN)/fewtune fit examples/tickets.csv --unlabelled examples/tickets_unlabelled.csv \
		--test examples/tickets_test.csv --repeats 1 --budget 150s --out demo/tickets
	@echo
	$(BIN)/fewtune predict demo/tickets \
		"my thermostat has dropped off the wifi again" "I was charged twice this month"
	@echo
	@echo "The whole report is one page: $(CURDIR)/demo/tickets/report.html"

test: $(VENV)/installed
	$(ONE_THREAD) $(BIN)/python -m pytest -m "not slow" -n $(WORKERS) $(ARGS)

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(VENV)/installed-bench: $(VENV)/installed
	$(PIP) --quiet -e '.[dev,bench]'
	@touch $@

# Finished cells are kept in benchmarks/fewshot/results and never run again.
bench: $(VENV)/installed-bench
	$(ONE_THREAD) $(BIN)/python -m pytest -m slow $(ARGS) || test $$? -eq 5  # 5: there are no slow tests
	BIN=$(BIN) DATA=$(DATA) bash scripts/bench.sh

docs: $(VENV)/installed
	$(BIN)/python scripts/docs.py

pin: $(VENV)/installed-bench
	$(BIN)/python scripts/pin.py > constraints.txt.tmp
	mv constraints.txt.tmp constraints.txt

clean:
	rm -rf build dist demo runs checkpoints .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
