PYTHON ?= python3
JOBS ?= 2
BIN := .venv/bin

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /  make \1\t/' | expand -t 19

demo: $(BIN)/.ready ## sweep CNN, ECNN, CRNN and ECRNN on handwritten digits and report on them (2 minutes on 2 cores)
	$(BIN)/hybridnets demo --jobs $(JOBS)

test: $(BIN)/.ready ## every test: no network, no GPU
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal

torture: $(BIN)/.ready ## the long form of the tests that kill, VGG16 at 224x224, 100,000 pictures in folders: an hour, 17 GB of disk
	HYBRIDNETS_LONG=1 $(BIN)/python -m pytest tests/command_line/test_torture.py tests/training/test_faults.py \
	  tests/training/test_autoencoder_sweeps.py tests/benchmarks/test_folders.py tests/command_line/test_folder.py

lowest: .venv-lowest/bin/.ready ## every test with the oldest versions that pyproject.toml admits, in an environment of their own
	.venv-lowest/bin/python -m pytest -n $(JOBS) --dist worksteal

hydra-next: .venv-hydra/bin/.ready ## every test with Hydra's newest release candidate, which pyproject.toml does not admit yet
	PYTHONWARNINGS=ignore::UserWarning .venv-hydra/bin/python -m pytest -n $(JOBS) --dist worksteal -W ignore::UserWarning

loggers: .venv-loggers/bin/.ready ## the tests of TensorBoard, W&B and MLflow, in an environment of their own
	.venv-loggers/bin/python -m pytest tests/training/test_loggers.py tests/report/rendering/test_to_mlflow.py tests/report/reading/tools

huggingface: $(BIN)/.huggingface ## the tests of data=huggingface
	$(BIN)/python -m pytest tests/data/test_huggingface.py

triton: $(BIN)/.ready .triton/.ready ## the tests of the GPU's kernels, in Triton's interpreter
	PYTHONPATH=.triton $(BIN)/python -m pytest tests/kernels/test_recurrent_gpu.py

bench: $(BIN)/.ready ## the tables of docs/performance.md: layers, epochs, the paper, a sweep (25 minutes on 2 cores)
	mkdir -p runs/bench
	$(BIN)/python -m benchmarks.rnn --json runs/bench/rnn.json
	$(BIN)/python -m benchmarks.epoch --json runs/bench/epoch.json
	$(BIN)/python -m benchmarks.paper --jobs $(JOBS) --json runs/bench/paper.json
	$(BIN)/python -m benchmarks.launcher --json runs/bench/launcher.json

simulations: $(BIN)/.ready ## the tables of docs/statistics.md, simulated again: what each test promises
	$(BIN)/python -m benchmarks.type_one_error
	$(BIN)/python -m benchmarks.coverage
	$(BIN)/python -m benchmarks.folds
	$(BIN)/python -m benchmarks.stopping
	$(BIN)/python -m benchmarks.chosen_afterwards

reproduce: $(BIN)/.ready ## the tables and figures of docs/paper.md from the archive of its runs; fails where a cell differs
	$(BIN)/python docs/reproduce.py docs/paper.md $(WRITE)

docs: $(BIN)/.docs ## the documentation as a site, docs/_build/index.html: no network, every link checked
	rm -rf docs/_build
	$(BIN)/python -m sphinx --quiet -b dirhtml -n -W --keep-going -d docs/_build/.doctrees docs docs/_build
	$(BIN)/python docs/check_links.py docs/_build

lint: $(BIN)/.ready ## format, lint, types, and who may know whom
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test triton huggingface reproduce docs ## what CI runs

$(BIN)/.ready: pyproject.toml launcher/pyproject.toml requirements/main.lock requirements/torch.lock .ci/install
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || \
	  { echo "hybridnets needs Python 3.11, 3.12 or 3.13, and $(PYTHON) is another: make PYTHON=python3.12 ..."; exit 1; }
	@echo "Installing 107 packages into .venv, each verified by its hash: 430 MB to download, 1.8 GB on disk, 2 to 5 minutes. On Linux"
	@echo "the package index's torch comes with CUDA, 3 GB more to download; for the small CPU build, stop and run"
	@echo "    PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make"
	$(PYTHON) -m venv .venv
	.ci/install .venv requirements/main.lock
	@touch $@

$(BIN)/.docs: $(BIN)/.ready requirements/docs.lock
	@echo "Installing 28 packages into .venv, which build the documentation."
	.ci/install .venv requirements/docs.lock
	@touch $@

$(BIN)/.huggingface: $(BIN)/.ready requirements/huggingface.lock
	@echo "Installing 13 packages into .venv, which data=huggingface needs."
	.ci/install .venv requirements/huggingface.lock
	@touch $@

.venv-loggers/bin/.ready: pyproject.toml requirements/main.lock requirements/loggers.lock
	@echo "Installing into .venv-loggers: what .venv has and 73 packages more."
	$(PYTHON) -m venv .venv-loggers
	.ci/install .venv-loggers requirements/main.lock requirements/loggers.lock
	@touch $@

# uv asks for the oldest versions that pyproject.toml admits; the tools of the tests have no lower bounds, and are today's.
.venv-lowest/bin/.ready: pyproject.toml launcher/pyproject.toml
	@echo "Installing into .venv-lowest the oldest versions that pyproject.toml admits."
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/pip install uv==0.13.9
	.venv-lowest/bin/pip wheel --no-deps --wheel-dir .venv-lowest ./launcher
	.venv-lowest/bin/uv pip compile --quiet --resolution lowest-direct --python .venv-lowest/bin/python --no-annotate \
	  $(foreach extra,augment fast demo progress report slurm,--extra $(extra)) --output-file .venv-lowest/lowest.txt --find-links .venv-lowest pyproject.toml
	.venv-lowest/bin/pip install --constraint .venv-lowest/lowest.txt --editable ./launcher --editable '.[augment,fast,demo,progress,report,slurm,dev]'
	@touch $@

# It warns of what the version after it will refuse, at every call; pip says that pyproject.toml does not admit it, and installs it.
.venv-hydra/bin/.ready: pyproject.toml requirements/main.lock requirements/torch.lock
	$(PYTHON) -m venv .venv-hydra
	.ci/install .venv-hydra requirements/main.lock
	.venv-hydra/bin/pip install --pre --upgrade 'hydra-core>=1.4.0rc1' 'omegaconf>=2.4.0rc1'
	@touch $@

lock: pyproject.toml ## the locks again, after a change of pyproject.toml; UPGRADE=--upgrade for the newest versions
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/pip install --quiet uv==0.13.9
	.venv-lock/bin/python .ci/lock.py $(UPGRADE)

.triton/.ready: # beside torch's CPU build, which comes without it
	$(BIN)/pip install --quiet --no-deps --target .triton triton==3.7.1
	@touch $@

.PHONY: help demo test torture loggers huggingface triton bench reproduce docs lint check lock lowest hydra-next
