# make demo   set up everything and rediscover a force law: SIM=r2 VARIANT=l1 RECIPE=newton DIM=2 N=4 SEED=0
# make test   set up everything and run the tests
# make tables the paper's tables beside ours: every missing cell (hours); PROFILE=slurm|gpu|kubernetes SECTIONS="newton"
#             BUDGET=full JOBS=2 RESULTS=folder (another folder than results/cells repeats everything) DRY=1
# make argon  the same for Lennard-Jones argon: data by OpenMM, 12 networks, docs/argon.md (hours)
# make notebook  builds and runs notebooks/rediscover.ipynb (minutes)
# make slow   the tests that take minutes;  make lint;  make pysr  fetches Julia for the PySR engine
# make clean  removes the virtual environment and caches, never datasets, weights or outputs

SIM ?= r2
VARIANT ?= l1
RECIPE ?= newton
DIM ?= 2
N ?= 4
SEED ?= 0
THREADS ?= 2
PIP_ARGS ?=
QUICK ?=
PROFILE ?= local
SECTIONS ?=
BUDGET ?= laptop
JOBS ?=
RESULTS ?=
DRY ?=

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.10; do \
  $$p -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip install --disable-pip-version-check --quiet $(PIP_ARGS)

.PHONY: demo argon tables notebook test slow lint pysr clean install
.DELETE_ON_ERROR:

install: $(VENV)/.installed

$(VENV)/.installed: requirements.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "error: no Python 3.10 to 3.13 found; name one with  make PYTHON=/path/to/python" >&2; exit 1; }
	@echo "installing into $(VENV) with $$($(PYTHON) --version); this takes a minute or more"
	@$(PYTHON) -m venv $(VENV) || { echo "error: $(PYTHON) cannot make a virtual environment; on Debian or Ubuntu: apt install python3-venv" >&2; exit 1; }
	@$(PIP) -e .
	@touch $@

$(VENV)/.tested: $(VENV)/.installed requirements-test.txt
	@$(PIP) -r requirements-test.txt
	@touch $@

$(VENV)/.tables: $(VENV)/.installed requirements-tables.txt
	@$(PIP) -r requirements-tables.txt
	@touch $@

tables: $(VENV)/.tables
	@$(PY) experiments/sweep.py --profile $(PROFILE) --budget $(BUDGET) $(if $(SECTIONS),--sections $(SECTIONS)) \
	  $(if $(JOBS),--jobs $(JOBS)) $(if $(RESULTS),--results $(RESULTS)) $(if $(DRY),--dry-run)

$(VENV)/.md: $(VENV)/.installed requirements-md.txt
	@$(PIP) -r requirements-md.txt
	@touch $@

argon: $(VENV)/.md
	@$(MAKE) --no-print-directory tables SECTIONS=argon

$(VENV)/.notebook: $(VENV)/.installed requirements-notebook.txt
	@$(PIP) -r requirements-notebook.txt
	@touch $@

notebook: $(VENV)/.notebook
	@$(PY) experiments/notebook.py

demo: $(VENV)/.installed
	@$(PY) -m distill.pipeline.runs.demo --system $(SIM) --variant $(VARIANT) --recipe $(RECIPE) --dim $(DIM) --n $(N) \
	  --seed $(SEED) --threads $(THREADS) $(if $(QUICK),--quick)

test: $(VENV)/.tested
	@$(PY) -m pytest -n $(THREADS) --dist loadfile --no-loadscope-reorder

slow: $(VENV)/.tested
	@$(PY) -m pytest -m slow

lint: $(VENV)/.tested
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy

# The only place that downloads Julia: resolving PySR's packages does it, those that have gone since among them.
pysr: $(VENV)/.installed
	@echo "fetching Julia and PySR's Julia packages; this takes several minutes"
	@$(PY) -c "import juliapkg; juliapkg.resolve(force=True); import pysr; print('PySR', pysr.__version__, 'is ready')"

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
