# Targets that need nothing installed but Python 3.11 to 3.13. `make` alone lists them.
PYTHON ?= python3
METHOD ?= mixmae
DATA ?=
ARGS ?=
TORCH ?=

METHODS := mixmae mixedae
# one process per core; all tests of a file run in the same one, to share its fixtures
PYTEST := pytest -n auto --maxprocesses 8 --dist loadfile
# write bytecode even if PYTHONDONTWRITEBYTECODE is set: without it, every process compiles all tests anew
BYTECODE := PYTHONDONTWRITEBYTECODE=

.DEFAULT_GOAL := help
.PHONY: help demo demo-dense bench test test-upstream docs docs-check clean

help:
	@echo 'make demo              pre-train a micro MixMAE on built-in images, evaluate it, and draw figures (five minutes)'
	@echo 'make demo METHOD=...   the same with another method: mixmae or mixedae'
	@echo 'make demo DATA=FOLDER  the same pre-training on your own images'
	@echo 'make demo-dense        Mask R-CNN from the demo encoder and from scratch; compiles mmcv as the tests do'
	@echo 'make bench             compare speed and memory of a training step with mmpretrain (some minutes, on an idle machine)'
	@echo 'make test              run the tests; the first run on a machine compiles the ops of mmcv (about 5 minutes)'
	@echo 'make test ARGS=...     the same with pytest options, such as ARGS="-k mixing"'
	@echo 'make test TORCH=2.14.1 the same with that torch and the newest other packages, in .venv-torch2.14.1'
	@echo 'make docs              build the site in site/: the pages of docs/ and the reference of the package'
	@echo 'make docs-check        check every command of README and docs/: run it, run it shortened, or parse it with the tool it calls'
	@echo 'make test-upstream     run the tests with upstream OpenMMLab instead of OneDL builds, without mmdet and mmseg'
	@echo 'make clean             remove .venv, .venv-* and build leftovers; data, work_dirs and compiled wheels stay'
	@echo 'PYTHON=python3.11      with any of these: the interpreter that creates .venv'

demo:
	@$(if $(filter $(METHODS),$(METHOD)),,$(error METHOD '$(METHOD)' is unknown: take one of $(METHODS)))
	@$(PYTHON) tools/environment.py light
	@.venv/bin/python tools/demo.py --method "$(METHOD)" $(if $(DATA),--data "$(DATA)") $(ARGS)

demo-dense:
	@$(PYTHON) tools/environment.py full
	@.venv/bin/python tools/demo.py --dense $(ARGS)

bench:
	@$(PYTHON) tools/environment.py light
	@.venv/bin/python tools/benchmarks/bench.py --out work_dirs/bench.json $(ARGS)

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
