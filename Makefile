# Two commands do everything on a fresh machine: `make demo` and `make test`. Both set up .venv first.
.PHONY: setup demo test test-slow fuzz test-extras test-cluster docker-test lint bench examples
PYTHON := .venv/bin/python
# Two workers: the suite is made for two cores, and each worker's torch gets one thread.
PYTEST := OMP_NUM_THREADS=1 $(PYTHON) -m pytest -n 2 --dist loadscope -q

setup:
	@scripts/setup

demo: setup
	@$(PYTHON) -m wikiloom demo

test: setup
	$(PYTEST) -m "not slow and not extras and not cluster"

test-slow: setup
	$(PYTEST) -m slow

# Hours: every harness that draws its inputs, with its own count. SEEDS="1 2" draws others.
SEEDS := 0
fuzz: setup
	OMP_NUM_THREADS=1 $(PYTHON) -m tests.end_to_end.reliability linear \
	  $(subst _,-,$(basename $(notdir $(wildcard tests/end_to_end/reliability/fuzz_*.py)))) --seeds $(SEEDS)

test-extras: setup
	$(PYTEST) -m "extras and not slow"

# As root, on Linux: hosts are network namespaces, and an object store that is slow and fails.
test-cluster: setup
	@scripts/setup .venv pipelines,training,baselines,dev,cluster
	OMP_NUM_THREADS=1 $(PYTHON) -m pytest -q -m cluster

docker-test: setup
	@scripts/docker-test

lint: setup
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy

bench: setup
	@scripts/setup .venv pipelines,training,baselines,dev,bench
	@for script in $(wildcard benchmarks/*.py); do echo "== $$script"; $(PYTHON) $$script || exit 1; done

examples: setup
	$(PYTHON) examples/make_examples.py
