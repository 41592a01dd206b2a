# Each target sets up what it needs: a virtual environment with the tested set of packages.
PYTHON ?= python3.11
VENV := .venv
READY := $(VENV)/.ready
# Two processes, each with one thread: the layers in tests are small.
PYTEST := OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n 2 --dist worksteal -p no:benchmark

.PHONY: demo test bench docs package lint format clean

demo: $(READY)
	$(VENV)/bin/python -m parity

test: $(READY)
	$(PYTEST) tests torchconv2d --doctest-modules -m "not slow"
	$(PYTEST) parity

# With pytest-benchmark's statistics; `python -m benchmarks` has the table, as ratios.
bench: $(READY)
	$(VENV)/bin/python -m pytest benchmarks --benchmark-only --benchmark-columns=median,iqr,rounds

# The site, in out/docs. A warning is an error, and so is a reference that leads nowhere.
docs: $(READY)
	$(VENV)/bin/python docs/draw.py
	$(VENV)/bin/python -m sphinx -W --keep-going -n -q docs out/docs

# A wheel and an sdist in dist/; the examples of the wheel run where there is no JAX.
package: $(READY)
	rm -rf dist out/fresh
	$(VENV)/bin/python -m build --no-isolation
	$(PYTHON) -m venv out/fresh
	out/fresh/bin/python -m pip install --quiet --constraint constraints.txt "$$(ls dist/*.whl)[test]"
	cd out && fresh/bin/python -m torchconv2d
	cd out && fresh/bin/pytest --noconftest --doctest-modules --pyargs torchconv2d

lint: $(READY)
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/pyright

format: $(READY)
	$(VENV)/bin/ruff check --fix
	$(VENV)/bin/ruff format

clean:
	rm -rf $(VENV) out dist .pytest_cache .ruff_cache .hypothesis

# Made anew whenever the packages asked for change. The mark comes last, so that an installation
# that was cut short is taken up again.
$(READY): pyproject.toml constraints.txt
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@
