# make demo: trains and scores both systems on the embedded data set.
# make test: all tests, on up to 4 cores.
# make test-others: part of them on every other Python that is here.
# make fuzz: random bytes through the readers, 60 s.
# make lint: ruff and mypy.  make clean: removes .venv and demo.
#
# Needs Python 3.11, 3.12 or 3.13 and a package index, nothing else.

VENV ?= .venv
OUT ?= demo
SECONDS ?= 60
SEED ?= 0
# The first of these that runs and can make an environment; PYTHON=... decides.
PYTHON ?= $(shell for name in python3.12 python3.11 python3.13 python3 python; do \
	$$name -c 'import sys, venv, ensurepip; \
	sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	2>/dev/null && { echo $$name; break; }; done)
BIN = $(VENV)/bin
# Python compiles what is imported; pip would compile every file there is.
PIP = $(BIN)/python -m pip --disable-pip-version-check install --quiet \
	--no-compile

.PHONY: demo test test-others fuzz lint clean

demo:
	@started=$$(date +%s); \
	$(MAKE) --no-print-directory $(VENV)/.runtime && \
	$(BIN)/python demo.py --out $(OUT) --started $$started

test: $(VENV)/.tests
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

# What depends on the version of Python or of a library is in these: what is
# computed, files that are read, the wheel, and an export. Not in them is what
# takes long and is the same: several processes, servers, whole predictions.
PART = tests/layers tests/systems tests/encoders tests/data tests/evaluation \
	tests/hostile tests/shapes tests/suggest tests/serving/test_export.py \
	tests/test_*.py
test-others:
	@for name in python3.11 python3.12 python3.13; do \
	  $$name -c 'import venv, ensurepip' 2>/dev/null || continue; \
	  [ "$$($$name -V)" = "$$($(BIN)/python -V 2>/dev/null)" ] && continue; \
	  echo "Testing with $$($$name -V)"; \
	  $(MAKE) --no-print-directory PYTHON=$$name VENV=.venv-$$name \
	    .venv-$$name/.tests && \
	  .venv-$$name/bin/python -m pytest --numprocesses auto \
	    --maxprocesses 4 --dist loadfile $(PART) || exit 1; \
	done

fuzz: $(VENV)/.tests
	PYTHONPATH=.:tests:tests/hostile $(BIN)/python tests/hostile/mutation.py \
		--seconds $(SECONDS) --seed $(SEED)

lint: $(VENV)/.tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf .venv .venv-* demo

$(VENV)/.runtime: requirements.txt
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11 to 3.13 with venv \
	was found; install one, or name it: make PYTHON=/path/to/python3.11" >&2; \
	exit 2; }
	@echo "Making $(VENV) with $(PYTHON) and installing requirements.txt"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) -r requirements.txt
	@touch $@

$(VENV)/.tests: $(VENV)/.runtime requirements-dev.txt
	@echo "Installing requirements-dev.txt"
	@$(PIP) -r requirements-dev.txt
	@touch $@
