# make demo | test | test-all | lint | bench | clean
# The first of them makes .venv with the python3 on PATH (or PYTHON=...) and installs everything there.

PYTHON ?= python3
VENV ?= .venv
# Processes that run tests.
WORKERS ?= 2
# Options of benchmarks/compare.py, which "make bench" runs; the other benchmarks are run by name.
COMPARE ?=
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# What pyproject.toml needs to build: installed first, so that pip does not fetch a second TensorFlow just to build.
BUILD_NEEDS := "tensorflow>=2.21,<2.22" "setuptools>=77" wheel

export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: demo test test-all lint bench picture install clean distclean

demo: $(STAMP)
	$(BIN)/mrcnn-keras demo --out demo

PYTEST = $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

# Every part of the package, in minutes: for each change.
test: lint
	$(PYTEST) -m "not slow"

# That, and then what takes longer.
test-all: test
	$(PYTEST) -m slow

lint: $(STAMP)
	$(BIN)/ruff check .

bench: $(STAMP)
	$(BIN)/python benchmarks/compare.py --profile $(COMPARE)

# The README's picture, from the demo's.
picture: $(STAMP)
	mkdir -p docs
	$(BIN)/python -c "from PIL import Image; \
	image = Image.open('demo/detections.png').convert('RGB'); \
	image.thumbnail((1000, 1000)); \
	image.quantize(256).save('docs/detections.png', optimize=True)"

install: $(STAMP)

# Everything that the installation depends on: the metadata, and the sources of the compiled operation.
$(STAMP): pyproject.toml setup.cfg setup.py Makefile $(wildcard custom_ops/*/*)
	@echo "installing into $(VENV), which takes some minutes the first time"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(BUILD_NEEDS)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation -e ".[dev,notebooks]"
	touch $@

clean:
	rm -rf build dist *.egg-info demo .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -not -path "./$(VENV)/*" -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV) mrcnn_keras/ops/*.so
