# The two commands of the README are `make demo` and `make test`; each sets itself up.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
TRAINERS := .venv-trainers

.PHONY: help demo test lint check fuzz test-trainers test-faults test-laws test-security test-full wheel
.PHONY: golden bench clean

help:
	@echo "make demo    run the main job on the rollouts that ship with gymrecipe"
	@echo "make test    run the tests"
	@echo "make check   lint, types and tests"
	@echo "make test-trainers   train a step with TRL on what gymrecipe writes"
	@echo "make test-loaders    load it with the loaders of verl, LLaMA-Factory, Axolotl, ms-swift, OpenRLHF"
	@echo "make test-faults     kill it, fill its disk, cut its power: the full set, a quarter of an hour"
	@echo "make fuzz            read mutated lines and hold them against a strict decoder (SECONDS=300 SEED=…)"
	@echo "make test-laws       the laws of the suite with other examples, 25 times as many"
	@echo "make test-security   hostile recipes, text, names, links: the full set, a few minutes"
	@echo "make test-full       every test at its full size, those of shells, recipes and real rollouts too: an hour"
	@echo "make golden  write the expected outputs of the golden tests anew"
	@echo "make bench   measure it side by side with what people would use instead (SIZE=1GB ROUNDS=5)"

# A .venv that matches pyproject.toml; made again when that file changes.
$(VENV)/.ready: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "gymrecipe needs Python 3.11 or newer: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	$(RUN) -m compileall -q gymrecipe
	@touch $@

demo: $(VENV)/.ready
	$(RUN) -m gymrecipe +recipe=dpo_same_prompt min_gap=0.3

test: $(VENV)/.ready
	$(RUN) -m pytest -n auto

# PyTorch and TRL, in an environment of their own.
$(TRAINERS)/.ready: pyproject.toml
	$(PYTHON) -m venv $(TRAINERS)
	$(TRAINERS)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[trainers]'
	@touch $@

test-trainers: $(TRAINERS)/.ready
	$(TRAINERS)/bin/python -m pytest tests/trainers -o filterwarnings=default

include tests/loaders/loaders.mk

FAULTS := tests/faults tests/corpus tests/experiments/test_mapped.py tests/test_memory.py

# The full set of kills, failing disks, races and power cuts: a quarter of an hour.
test-faults: $(VENV)/.ready
	mkdir -p build && rm -f build/figures.jsonl
	GYMRECIPE_TESTS=full GYMRECIPE_FIGURES=$(CURDIR)/build/figures.jsonl $(RUN) -m pytest $(FAULTS) -n 2
	$(RUN) tests/faults/figures.py build/figures.jsonl

SECONDS ?= 300
ROLLOUTS ?= ../shared/rollouts

fuzz: $(VENV)/.ready
	$(RUN) -m tests.corpus.fuzz --seconds $(SECONDS) $(if $(SEED),--seed $(SEED)) $(if $(wildcard $(ROLLOUTS)),--rollouts $(ROLLOUTS))

# Every law of the suite with other examples, 25 times as many.
test-laws: $(VENV)/.ready
	GYMRECIPE_TESTS=full $(RUN) -m pytest -m hypothesis -n auto

# Every payload in every place: a few minutes.
test-security: $(VENV)/.ready
	GYMRECIPE_TESTS=full $(RUN) -m pytest tests/security -n 2

# Every test at its full size: an hour.
test-full: $(VENV)/.ready
	GYMRECIPE_TESTS=full $(RUN) -m pytest -n auto

lint: $(VENV)/.ready
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

check: lint test

golden: $(VENV)/.ready
	$(RUN) -m pytest tests/test_golden.py --update-golden

wheel: $(VENV)/.ready
	$(RUN) -m build --wheel

SIZE ?= 228MB
ROUNDS ?= 3
SHAPE ?= long
TABLE ?= build/benchmark.md

bench: $(VENV)/.ready
	$(RUN) -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	$(RUN) benchmarks/run.py --size $(SIZE) --rounds $(ROUNDS) --shape $(SHAPE) --table $(TABLE)

clean:
	rm -rf $(VENV) $(TRAINERS) .venv-loaders build dist
