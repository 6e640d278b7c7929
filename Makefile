# make demo    one command from a fresh clone to a filled sentence
# make test    the whole suite on the three backends, ending with the sum (20 minutes on 2 cores)
# make quick   in 3 minutes what a change most likely breaks: all that needs no framework, and the
#              tests marked `quick`, some of each family of classes on each backend
# make lint    ruff, style and format
# make wheel   the wheel, in dist/
# make notebooks   every notebook from a clean state, on little data
# make hard    faults, threads, memory and fuzzing for an hour; figures in build/hard-use.txt
# make bench   speed and memory against peers, in this very run (BENCH="--rows forward --backends jax")
#
# All of them use .venv, which is made when it is missing. Another Python: make demo PYTHON=python3.12

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check
TEXT := 今天天气很好，我们去公园[MASK]吧。
BENCH :=

# KerasHub requires the full tensorflow by its metadata, but works with the smaller tensorflow-cpu,
# which exists for x86-64 Linux. So the two are installed one by one, and KerasHub without its
# requirements, which are listed here.
TENSORFLOW := $(if $(filter Linux-x86_64,$(shell uname -sm | tr ' ' -)),tensorflow-cpu,tensorflow)
HUB_NEEDS := absl-py grain kagglehub packaging regex sentencepiece

.PHONY: demo test quick hard lint wheel bench notebooks clean

demo: $(VENV)/demo.stamp
	$(BIN)/keras-roformer fill-mask "$(TEXT)"

test: $(VENV)/test.stamp
	$(BIN)/python tests/run_all.py

quick: $(VENV)/test.stamp
	$(BIN)/python tests/run_all.py --quick

hard: $(VENV)/test.stamp
	$(PIP) install -c constraints.txt atheris
	for backend in torch jax tensorflow; do \
	  HARD=1 KERAS_BACKEND=$$backend $(BIN)/python -m pytest -q tests/hard_use || exit 1; done
	$(BIN)/python tests/fuzz/readers.py --seconds 600

lint: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

wheel: $(VENV)/test.stamp
	$(BIN)/python -m build --wheel

bench: $(VENV)/test.stamp
	$(BIN)/python benchmarks/run.py $(BENCH)

notebooks: $(VENV)/notebooks.stamp
	$(BIN)/python notebooks/run.py $(NOTEBOOKS)

clean:
	rm -rf $(VENV) build dist

$(VENV)/demo.stamp: pyproject.toml constraints.txt | $(VENV)/python.stamp
	$(PIP) install -c constraints.txt -e '.[jax]'
	@touch $@

# torch first and alone, so that a build that pip is configured to prefer (CPU only) is taken.
$(VENV)/test.stamp: pyproject.toml constraints.txt | $(VENV)/python.stamp
	$(PIP) install -c constraints.txt torch
	$(PIP) install -c constraints.txt $(TENSORFLOW) $(HUB_NEEDS) -e '.[jax,torch,test]'
	$(PIP) install -c constraints.txt --no-deps keras-hub keras-nlp tensorflow-text
	@touch $@

$(VENV)/notebooks.stamp: $(VENV)/test.stamp
	$(PIP) install -c constraints.txt -e '.[notebooks]'
	@touch $@

# 3.11 first: the versions in constraints.txt were chosen with it.
$(VENV)/python.stamp:
	@for python in $(PYTHON) python3.11 python3.12 python3.13 python3 python; do \
	  if $$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
	  then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "keras-roformer needs Python 3.11 or newer with the venv module; install it, or name" \
	    "one: make PYTHON=/path/to/python3.11" >&2; exit 1; \
	fi; \
	echo "making $(VENV) with $$found"; \
	$$found -m venv $(VENV)
	@touch $@
