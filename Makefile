# make demo   the main job on a demo corpus: .venv, pinned install, corpus, `dvc repro`
# make train-demo   after make demo: LAE in two rounds of labels (an oracle answers), a table and pictures
# make test   .venv, pinned install, lint, types, all tests
# make soak   after make test: 30 kills on a Flink cluster, shards compared after each (KILLS=30 SEED=0)
# make wheel  dist/*.whl, for workers on other machines (pipelines/Containerfile)
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
# Stages find `python` and `dvc` of the environment first, however make was called.
export PATH := $(CURDIR)/$(BIN):$(PATH)
export DVC_NO_ANALYTICS := 1
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable

.PHONY: demo train-demo test soak lint wheel clean

demo: .venv/demo.done
	dvc repro
	python -m pipelines.audit --show work/demo/report

train-demo: .venv/train.done
	@test -e work/demo/shards/index.json || { echo "error: no shards in work/demo/shards; run: make demo"; exit 2; }
	dvc repro training/dvc.yaml
	python -m training.rounds work/lae/eval/r0 work/lae/eval/r1 work/lae/eval/r2

test: .venv/test.done lint
	pytest --numprocesses auto --dist loadgroup

soak: .venv/test.done
	python -m benchmarks.soak --kills $(or $(KILLS),30) --seed $(or $(SEED),0)

lint: .venv/test.done
	ruff format --check .
	ruff check .
	mypy

wheel: .venv/bin/python
	rm -rf build dist
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .
	@echo dist/*.whl

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' \
	  || { echo "error: $(PYTHON) is not Python 3.11 (mediapipe has no wheel for later ones); run: make PYTHON=/path/to/python3.11"; exit 2; }
	$(PYTHON) -m venv .venv

.venv/demo.done: .venv/bin/python pyproject.toml constraints.txt
	@echo "installing into .venv (pinned, a minute or two) ..."
	$(INSTALL) .
	@touch $@

.venv/train.done: .venv/bin/python pyproject.toml constraints.txt
	@echo "installing into .venv, with torch (pinned, some minutes) ..."
	$(INSTALL) ".[train]"
	@touch $@ .venv/demo.done

.venv/test.done: .venv/bin/python pyproject.toml constraints.txt
	@echo "installing into .venv, with test tools and torch (pinned, some minutes) ..."
	$(INSTALL) ".[dev]"
	@touch $@ .venv/demo.done .venv/train.done

clean:
	rm -rf .venv build dist data work .dvc/cache .dvc/tmp dvc.lock
