# What a bare machine with Python 3.11 to 3.13 needs nothing else for. `make` alone lists it.
PYTHON ?= python3
METHOD ?= mixmae
DATA ?=
ARGS ?=
TORCH ?=

METHODS := mixmae mixedae
# a process a core; a file stays in one, for its fixtures
PYTEST := pytest -n auto --maxprocesses 8 --dist loadfile
# written where PYTHONDONTWRITEBYTECODE is set, too: without it every process compiles all tests anew
BYTECODE := PYTHONDONTWRITEBYTECODE=

.DEFAULT_GOAL := help
.PHONY: help demo demo-dense bench test test-upstream docs docs-check clean

help:
	@echo 'make demo              pre-train a micro MixMAE on built-in images, ask what it has learned, and draw it (five minutes)'
	@echo 'make demo METHOD=...   the same with another method: mixmae or mixedae'
	@echo 'make demo DATA=FOLDER  the same pre-training on your own images'
	@echo 'make demo-dense        Mask R-CNN from the demo encoder and from scratch; compiles mmcv as the tests do'
	@echo 'make bench             speed and memory of a training step beside mmpretrain (some minutes, on an idle machine)'
	@echo 'make test              the tests; the first time on a machine this compiles the ops of mmcv (about 5 minutes)'
	@echo 'make test ARGS=...     the same with options of pytest, such as ARGS="-k mixing"'
	@echo 'make test TORCH=2.14.1 the tests with that torch and the newest of the rest, in .venv-torch2.14.1'
	@echo 'make docs              the pages of docs/ and the reference of the package as a site, in site/'
	@echo 'make docs-check        every command of README and docs/: run, run shortened, or read by the tool it calls'
	@echo 'make test-upstream     the tests beside upstream OpenMMLab in place of OneDL builds, without mmdet and mmseg'
	@echo 'make clean             remove .venv, .venv-* and what builds left; data, work_dirs and compiled wheels stay'
	@echo 'PYTHON=python3.11      after any of these: the interpreter to make .venv with'

demo:
	@$(if $(filter $(METHODS),$(METHOD)),,$(error METHOD '$(METHOD)' is unknown: take one of $(METHODS)))
	@$(PYTHON) tools/environment.py light
	@.venv/bin/python tools/demo.py --method "$(METHOD)" $(if $(DATA),--data "$(DATA)") $(ARGS)

demo-dense:
	@$(PYTHON) tools/environment.py full
	@.venv/bin/python tools/demo.py --dense $(ARGS)

bench:
	@$(PYTHON) tools/environment.py light
	@.venv/bin/python tools/benchmarks/bench.py --json work_dirs/bench.json $(ARGS)

test:
	@$(PYTHON) tools/environment.py full $(if $(TORCH),--torch $(TORCH))
	@$(BYTECODE) .venv$(if $(TORCH),-torch$(TORCH))/bin/python -m $(PYTEST) $(ARGS)

docs:
	@$(PYTHON) tools/environment.py light
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements/docs.txt
	@.venv/bin/python -m mkdocs build --strict

docs-check:
	@$(PYTHON) tools/environment.py full
	@.venv/bin/python tools/docs/docs_check.py $(ARGS)

test-upstream:
	@$(PYTHON) tools/environment.py upstream
	@$(BYTECODE) .venv-upstream/bin/python -m $(PYTEST) $(ARGS)

clean:
	rm -rf .venv .venv-* build dist site mixmae_mm.egg-info mixmae_mm/.mim .pytest_cache .ruff_cache .hypothesis
	find mixmae_mm tools tests configs -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
