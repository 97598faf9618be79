# make demo            two runs on an agent, compared, on the embedded log (LOG=kafka: on an Apache Kafka it starts)
# make demo-pipeline   pipelines from tasks, functions and decorators, their steps on an agent (LOG=… as for demo)
# make demo-search     a search that Optuna guides, its trials on four agents (LOG=… as for demo)
# make demo-scaler     40 tasks, agents that come for them and go, and a scaler that is killed on the way (LOG=…)
# make test            all tests, with a real Kafka, Schema Registry and browser where they can be set up
# make simulate        agents, faults and a virtual clock: SEEDS=10000 stories, or SEED=n told again
# make lint            formatting, rules, types, layers, schemas
# make model           the protocol of claims in a model checker, each rule also left out (FULL=1: larger products)
# make bench           the figures in docs/benchmarks.md
# make chaos           a long storm of faults over agents and brokers (SEED=n TASKS=300)
# make clean           removes what the others made
# Each sets up what it needs in .venv first; a second run starts at once.

SHELL := /bin/bash
.DEFAULT_GOAL := help
BIN := .venv/bin
LOG ?= embedded
PYTEST_ARGS ?=
SEEDS ?= 1000
SEED ?=
TASKS ?= 300
FULL ?=
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo demo-pipeline demo-search demo-scaler test simulate model lint bench chaos clean schemas tools fetch

help:
	@sed -n 's/^# //p' Makefile

.venv/.demo: pyproject.toml constraints.txt
	@test -e .venv/.dev || scripts/setup.sh venv dashboard,examples $@
	@touch $@

.venv/.dev: pyproject.toml constraints.txt
	@scripts/setup.sh venv dev $@

tools:
	@scripts/setup.sh tools java mvn chromium docker-compose machine || true

demo demo-pipeline demo-search demo-scaler: .venv/.demo
ifeq ($(LOG),kafka)
	@scripts/setup.sh tools java mvn
	@$(BIN)/python tests/kafka/broker.py with -- $(BIN)/tasktape $(subst -, ,$@)
else ifeq ($(LOG),embedded)
	@$(BIN)/tasktape $(subst -, ,$@)
else
	@$(BIN)/tasktape $(subst -, ,$@) --log $(LOG)
endif

fetch: .venv/.dev tools
	@$(BIN)/python -m tasktape.tests.support.fetch

test: fetch
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

simulate: .venv/.dev
	$(BIN)/python -m tasktape.tests.support.simulate $(if $(SEED),--seed $(SEED),--seeds $(SEEDS))

lint: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -p tasktape
	$(BIN)/mypy tests bench
	PYTHONPATH=.typing $(BIN)/lint-imports
	$(BIN)/python -m tasktape.events.schema check

model: .venv/.dev
	@scripts/setup.sh tools spin
	@$(BIN)/python -m tasktape.tests.model.check $(if $(FULL),--full)

bench: .venv/.dev tools
	$(BIN)/python -m bench

chaos: .venv/.dev
	@scripts/setup.sh tools java mvn
	$(BIN)/python -m tasktape.tests.faults.chaos --seed $(or $(SEED),$(shell date +%s)) --tasks $(TASKS)

schemas: .venv/.dev
	$(BIN)/python -m tasktape.events.schema write

clean:
	rm -rf .venv .typing build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
