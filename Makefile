# Each target first creates the virtual environment that it needs, with the tested set of packages.
#
# PYTHON is the first of these that runs and has a supported version. Each is run, since a program of
# that name on the PATH may only fail. `make PYTHON=/path/to/python` overrides the choice.
# The oldest and the newest set have their own environments, of 6 GB each. Their versions of NumPy
# support fewer Pythons.
RUNNING = $(shell for each in $(3) python3 python; do if "$$each" -c 'import sys; \
	sys.exit(not (3, $(1)) <= sys.version_info[:2] <= (3, $(2)))' >/dev/null 2>&1; \
	then command -v "$$each"; break; fi; done)
ifndef PYTHON
PYTHON := $(call RUNNING,11,13,python3.11 python3.12 python3.13)
endif
PYTHON_OLDEST ?= $(call RUNNING,11,12,python3.11 python3.12)
PYTHON_NEWEST ?= $(call RUNNING,12,13,python3.12 python3.13)
VENV := .venv
VENV_OLDEST := .venv-oldest
VENV_NEWEST := .venv-newest
READY := $(VENV)/.ready
# Two processes, each with one thread: the layers in tests are small.
MANY := -n 2 --dist worksteal -p no:benchmark
# The tests that need neither JAX nor a compiler.
QUICK := tests torchconv2d --doctest-modules -m "not slow"
PYTEST := OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest $(MANY)

.PHONY: demo test test-oldest test-newest bench docs package lint format clean

demo: $(READY)
	$(VENV)/bin/python -m parity

test: $(READY)
	$(PYTEST) $(QUICK)
	$(PYTEST) parity

# The part of `test` that needs no JAX, on the oldest and the newest versions.
test-oldest: $(VENV_OLDEST)/.ready
	OMP_NUM_THREADS=1 $(VENV_OLDEST)/bin/python -m pytest $(MANY) $(QUICK)

test-newest: $(VENV_NEWEST)/.ready
	OMP_NUM_THREADS=1 $(VENV_NEWEST)/bin/python -m pytest $(MANY) $(QUICK)

# With pytest-benchmark's statistics; `python -m benchmarks` has the table, as ratios.
bench: $(READY)
	$(VENV)/bin/python -m pytest benchmarks --benchmark-only --benchmark-columns=median,iqr,rounds

# The site, in out/docs. Warnings and broken references are errors.
docs: $(READY)
	$(VENV)/bin/python docs/draw.py
	$(VENV)/bin/python -m sphinx -W --keep-going -n -q docs out/docs

# A wheel and an sdist in dist/. The wheel's examples run in an environment without JAX.
package: $(READY)
	rm -rf dist out/fresh
	$(VENV)/bin/python -m build --no-isolation
	$(VENV)/bin/python -m venv out/fresh
	out/fresh/bin/python -m pip install --quiet --constraint constraints/tested.txt "$$(ls dist/*.whl)[test]"
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
	rm -rf $(VENV) $(VENV_OLDEST) $(VENV_NEWEST) out dist .pytest_cache .ruff_cache .hypothesis

# Updated when the required packages change. The mark is written last, so that an interrupted
# installation is resumed. $(1): the Python, $(2): the set, $(3): the extras.
comma := ,
define ENVIRONMENT
	$(if $(1),,$(error No Python that $@ can use runs here: 3.11 to 3.13, or 3.11 and 3.12 for the oldest \
		set, 3.12 and 3.13 for the newest. Choose one: make PYTHON=/path/to/python, or PYTHON_OLDEST=, \
		PYTHON_NEWEST=))
	@echo "$(@D): $(1), $$('$(1)' --version), constraints/$(2).txt"
	test -x $(@D)/bin/python || '$(1)' -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --constraint constraints/$(2).txt --editable '.[$(3)]'
	touch $@
endef

$(READY): pyproject.toml constraints/tested.txt
	$(call ENVIRONMENT,$(PYTHON),tested,dev)

$(VENV_OLDEST)/.ready: pyproject.toml constraints/oldest.txt
	$(call ENVIRONMENT,$(PYTHON_OLDEST),oldest,test$(comma)onnx)

$(VENV_NEWEST)/.ready: pyproject.toml constraints/newest.txt
	$(call ENVIRONMENT,$(PYTHON_NEWEST),newest,test$(comma)onnx)
