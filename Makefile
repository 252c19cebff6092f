# Everything a developer types. Python >= 3.11, make and a package index are all a machine needs.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
TEST_STAMP := .venv/.installed-dev
BENCH := .venv-bench/bin/python
BENCH_STAMP := .venv-bench/.installed
PEERS := albumentations kornia lightly opencv-python-headless pytorch-lightning
BUILT_FROM := pyproject.toml constraints.txt hatch_build.py stopgrad/views/kernels.c
export UV_NO_PROGRESS := 1

.PHONY: demo test test-gpu test-slow check format bench bench-gpu record golden clean

demo: $(STAMP)
	$(BIN)/stopgrad demo --out runs/demo

test: $(TEST_STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m "not slow and not gpu"

test-gpu: $(TEST_STAMP)
	$(BIN)/python -m pytest -m gpu --timeout 1200

test-slow: $(TEST_STAMP)
	$(BIN)/python -m pytest -m slow --timeout 3600

# Format, lint, strict types, fast tests.
check: $(TEST_STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m "not slow and not whole and not gpu"

format: $(TEST_STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Beside its peers, all in one environment of their own; a peer's package that cannot be installed is removed from PEERS, and the page names it.
bench: $(BENCH_STAMP)
	$(BENCH) -m benchmarks --device cpu

bench-gpu: $(BENCH_STAMP)
	$(BENCH) -m benchmarks --device cuda

# SimSiam's published run on CIFAR-10, to its end: make record DATA=FOLDER. Stopped, the same command goes on.
record: $(TEST_STAMP)
	$(BIN)/python -m benchmarks.record $(DATA)

# Rewrite the golden losses; the difference is reviewed and named in CHANGELOG.md.
golden: $(TEST_STAMP)
	$(BIN)/python -m tests.golden.rewrite

clean:
	rm -rf .venv .venv-bench

$(BIN)/uv:
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

$(STAMP): $(BUILT_FROM) | $(BIN)/uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable .
	touch $@

$(TEST_STAMP): $(BUILT_FROM) | $(BIN)/uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[dev]'
	touch $@ $(STAMP)

# stopgrad itself is used from here, with the kernels that $(STAMP) built. Bytecode is compiled, or whoever starts first would pay for it.
$(BENCH_STAMP): benchmarks/constraints.txt $(STAMP)
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-bench
	$(BIN)/uv pip install --quiet --python $(BENCH) --compile-bytecode --constraint constraints.txt --constraint benchmarks/constraints.txt \
		--requirements pyproject.toml $(PEERS)
	touch $@
