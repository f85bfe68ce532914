# make demo: everything, from nothing to a real model's numbers.   make test: the tests.   make check: all that must hold.
# make docs: the documentation, in site/.
PYTHON ?= python3
TORCH ?= torch==2.13.0
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test check static types format docs model bench bench-quick floor exactness invariance kernels overhead proof growing
.PHONY: edges zoo harness sanitize package coverage clean

demo: model
	$(BIN)/python scripts/demo.py

# One process for each of two to four cores, each with one thread.
test: model
	$(BIN)/pytest -n logical --maxprocesses 4 --dist worksteal

check: static test

static: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyrefly check
	$(BIN)/lint-imports
	$(BIN)/python scripts/docs.py --check

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# What mypy, pyright and pyrefly say of users' scripts; mypy and pyright are installed into .types/ once. 3 minutes.
types: $(READY)
	$(BIN)/python scripts/check_types.py

# Nothing is fetched but the packages of the extra, once; the pages load nothing either.
docs: $(READY)
	$(BIN)/python -c 'import furo, myst_parser, sphinx_copybutton' 2>/dev/null || $(BIN)/pip install --quiet --editable '.[docs]'
	$(BIN)/python scripts/build_site.py

model: $(READY)
	$(BIN)/chainrule pull smollm2-135m

# With vLLM for CPUs, 4 GB: make bench VLLM=--vllm
bench: model
	$(BIN)/python benchmarks/setup_peers.py $(VLLM)
	$(BIN)/python benchmarks/run.py
	$(BIN)/python scripts/docs.py

bench-quick: model
	$(BIN)/python benchmarks/setup_peers.py $(VLLM)
	$(BIN)/python benchmarks/run.py --quick
	$(BIN)/python benchmarks/floor.py --quick

floor: model
	$(BIN)/python benchmarks/floor.py
	$(BIN)/python scripts/docs.py

exactness: model
	$(BIN)/python benchmarks/exactness.py

invariance: model
	$(BIN)/python benchmarks/invariance.py

proof: model
	$(BIN)/python benchmarks/proof.py
	$(BIN)/python scripts/docs.py

growing: model
	$(BIN)/python benchmarks/growing.py
	$(BIN)/python scripts/docs.py

kernels: model
	$(BIN)/python benchmarks/kernels.py

overhead: model
	$(BIN)/python benchmarks/overhead.py

# What comes in and goes out, damaged, crafted and killed on purpose: 45 minutes.
edges: model
	$(BIN)/python benchmarks/edges.py

# Tiny models of every architecture that transformers has, each in 8 to 14 ways: about 10 minutes with two cores.
zoo: $(READY)
	$(BIN)/python scripts/zoo.py

# The model of lm-evaluation-harness beside its own, hf, in an environment of its own, which the first run makes: 5 minutes.
harness: model
	$(BIN)/python scripts/harness.py

# The compiled kernels under sanitizers of addresses, undefined behaviour and races.
sanitize: $(READY)
	$(BIN)/python scripts/sanitize.py

# sdist and wheel, in dist/, each installed into an empty environment: 2 minutes.
package: $(READY)
	$(BIN)/python scripts/check_package.py --torch "$(TORCH)"

# Which lines of chainrule the tests run, and the share of them. What runs in other processes does not count.
coverage: model
	$(BIN)/coverage run -m pytest
	$(BIN)/coverage report

# torch first and by itself: a range would let pip pick another build (see docs/install.md).
$(READY): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -c 'import torch' 2>/dev/null || $(BIN)/pip install --quiet "$(TORCH)"
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch $(READY)

clean:
	rm -rf .venv .types .bench dist site .coverage .pytest_cache .hypothesis .ruff_cache .import_linter_cache
