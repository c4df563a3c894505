# The targets install everything in .venv first: only Python >= 3.11, git and make are needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
LOCK := requirements.lock

.PHONY: study test proofs lint lowest newest clean

study: $(READY)  ## run a study; pass arguments with ARGS="--preset smoke"
	$(BIN)/posebench study optimizers $(ARGS)

test: $(READY)  ## run the test suite, with two processes more than cores; pass arguments with ARGS="-k loader"
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder $(ARGS)

proofs: $(READY)  ## run the proofs, tests that take long; ARGS="--shard simulations" runs one shard
	$(BIN)/python -m pytest --proofs --numprocesses auto --dist loadfile $(ARGS)

lint: $(READY)  ## check style, types and import layers, as CI does
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

lowest newest:  ## run the test suite with the lowest or the newest versions that pyproject.toml allows
	$(PYTHON) -m venv .venv-$@
	.venv-$@/bin/python -m pip install --quiet --disable-pip-version-check uv
	echo "setuptools>=77" | .venv-$@/bin/uv pip compile --quiet --no-header --no-annotate --resolution $(RESOLUTION_$@) \
		--extra test --extra postgres --extra gpu --extra optimizers --extra ray \
		--output-file .versions-$@.txt pyproject.toml -
	$(MAKE) test VENV=.venv-$@ LOCK=.versions-$@.txt
RESOLUTION_lowest := lowest-direct
RESOLUTION_newest := highest

# Rebuilt only if the pinned packages or pyproject.toml change.
$(READY): $(LOCK) pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "posebench needs Python >= 3.11; try make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement $(LOCK)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	$(BIN)/python -m compileall -q bench posemodel studies tests/support  # once here, not in each process of the tests
	touch $(READY)

clean:  ## remove the environment; data, records and reports stay
	rm -rf $(VENV)
