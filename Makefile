# make run   paint the sample landscape in the sample style, setting everything up first
# make test  set everything up, check the code and run every test
# Needs Python 3.11 or newer with venv and pip; PYTHON=python3.12 picks one.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
PLUGINS := $(wildcard plugins/*/pyproject.toml)
EDITABLE := -e . $(patsubst %/pyproject.toml,-e %,$(PLUGINS))

.PHONY: run test lint docs bench clean

run: $(VENV)/installed
	@mkdir -p out
	@echo "Painting examples/landscape.jpg in the style of examples/pattern.jpg ..."
	@$(BIN)/gentool run adain --content examples/landscape.jpg --style examples/pattern.jpg -o out/
	@echo "The result lies at the path above. Now try your own: $(BIN)/gentool run adain --help"

test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

lint: $(VENV)/developer
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/developer
	$(BIN)/python tools/generate.py

bench: $(VENV)/developer
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/adain.py

clean:
	rm -rf $(VENV) out .pytest_cache .ruff_cache .mypy_cache

$(VENV)/python:
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and \
	  'gentool needs Python 3.11 or newer, this is ' + sys.version.split()[0] + '; try make PYTHON=python3.12')"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	@touch $@

$(VENV)/installed: $(VENV)/python pyproject.toml constraints.txt $(PLUGINS)
	$(BIN)/pip install --quiet --constraint constraints.txt $(EDITABLE)
	@touch $@

$(VENV)/developer: $(VENV)/installed
	$(BIN)/pip install --quiet --constraint constraints.txt --group dev
	@touch $@
