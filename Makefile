PYTHON ?= python3
JOBS ?= 2
BIN := .venv/bin

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):[^#]*## /  make \1\t/' | expand -t 16

demo: $(BIN)/.ready ## sweep CNN, ECNN, CRNN and ECRNN on handwritten digits and report on them (2 minutes on 2 cores)
	$(BIN)/python train.py -cn demo hydra.launcher.jobs=$(JOBS)
	$(BIN)/python report.py runs/digits

test: $(BIN)/.ready ## every test: no network, no GPU
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal

torture: $(BIN)/.ready ## the long form of the tests that kill, and VGG16 at 224x224: an hour
	HYBRIDNETS_LONG=1 $(BIN)/python -m pytest tests/command_line/test_torture.py tests/training/test_faults.py \
	  tests/training/test_feature_autoencoder.py

loggers: .venv-loggers/bin/.ready ## the tests of TensorBoard, W&B and MLflow, in an environment of their own
	.venv-loggers/bin/python -m pytest tests/training/test_loggers.py tests/report/rendering/test_to_mlflow.py

triton: $(BIN)/.ready .triton/.ready ## the tests of the GPU's kernels, in Triton's interpreter
	PYTHONPATH=.triton $(BIN)/python -m pytest tests/kernels/test_recurrent_gpu.py

bench: $(BIN)/.ready ## the tables of docs/performance.md: layers, epochs, the paper, a sweep (25 minutes on 2 cores)
	mkdir -p runs/bench
	$(BIN)/python -m benchmarks.rnn --json runs/bench/rnn.json
	$(BIN)/python -m benchmarks.epoch --json runs/bench/epoch.json
	$(BIN)/python -m benchmarks.paper --jobs $(JOBS) --json runs/bench/paper.json
	$(BIN)/python -m benchmarks.launcher --json runs/bench/launcher.json

docs: $(BIN)/.docs ## the documentation as a site, docs/_build/index.html: no network, every link checked
	rm -rf docs/_build
	$(BIN)/python -m sphinx --quiet -b dirhtml -n -W --keep-going -d docs/_build/.doctrees docs docs/_build
	$(BIN)/python docs/check_links.py docs/_build

lint: $(BIN)/.ready ## format, lint, types, and who may know whom
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test triton docs ## what CI runs

$(BIN)/.ready: pyproject.toml requirements.lock docs/requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || \
	  { echo "hybridnets needs Python 3.11, 3.12 or 3.13, and $(PYTHON) is another: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint requirements.lock --constraint docs/requirements.txt \
	  --editable '.[fast,demo,progress,report,slurm,dev]'
	@touch $@

$(BIN)/.docs: $(BIN)/.ready
	$(BIN)/pip install --quiet --constraint requirements.lock --constraint docs/requirements.txt --editable '.[docs]'
	@touch $@

.venv-loggers/bin/.ready: pyproject.toml requirements.lock
	$(PYTHON) -m venv .venv-loggers
	.venv-loggers/bin/pip install --quiet --constraint requirements.lock --constraint docs/requirements.txt \
	  --editable '.[fast,demo,progress,report,dev,tensorboard,wandb,mlflow]'
	@touch $@

.triton/.ready: # beside torch's CPU build, which comes without it
	$(BIN)/pip install --quiet --no-deps --target .triton triton==3.7.1
	@touch $@

.PHONY: help demo test torture loggers triton bench docs lint check
