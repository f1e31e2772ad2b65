# Two commands on a fresh machine: `make demo` and `make test`. Another Python: make demo PYTHON=python3.13
# Modules are compiled when they are first imported (--no-compile): most of what is installed never is.
PYTHON ?= python3
VENV ?= .venv$(if $(filter-out python3,$(PYTHON)),-$(notdir $(PYTHON)))
BIN = $(VENV)/bin
SOURCES = pyproject.toml
# Compiled in the tests as for a user; the other tests are compiled quickly (tests/conftest.py).
FAITHFUL = tests/engine tests/science/test_population.py tests/science/test_dirac_gan.py

# Each process of a test would compile every module that it imports anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test long torture science catalogue contact-sheets docs bench bench-control build release-notes probe-costs experiments clean

demo: $(VENV)/.core
	$(BIN)/deepprinciples compare configs/vanishing_gradients.toml --name demo

test: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n auto --dist loadfile --durations=15 -m 'not slow' $(foreach path,$(FAITHFUL),--ignore=$(path))
	XLA_FLAGS= $(BIN)/python -m pytest -n auto -m 'not slow' $(FAITHFUL)

# Everything as it is compiled for a user, and what takes too long for every change.
long: $(VENV)/.long
	XLA_FLAGS= $(BIN)/python -m pytest -n auto --dist loadfile tests tests/long_*.py tests/*/long_*.py

# The promises of docs/reliability.md in their long form, about an hour; the page is written anew if all of them hold.
torture: $(VENV)/.test
	rm -f $(VENV)/account.jsonl
	TORTURE=$(abspath $(VENV))/account.jsonl $(BIN)/python -m pytest -n auto --dist loadfile tests/faults
	$(BIN)/python tests/faults/account.py $(VENV)/account.jsonl docs/reliability.md

# Published numbers at real size, in some minutes: writes docs/science.md, and fails where one is missed.
science: $(VENV)/.core
	$(BIN)/python tests/science/proof.py docs/science.md

# The pages of docs/catalogue, and the cards that `list` and `show` read, from the docstrings of the parts.
catalogue: $(VENV)/.core
	$(BIN)/python -m deepprinciples.cli.catalogue docs/catalogue

# A page of examples of each set of pictures, docs/data_NAME.png; sets that are not here are fetched.
contact-sheets: $(VENV)/.core
	$(BIN)/python -m deepprinciples.cli.contact_sheets docs

# The documentation as a site, with its notebooks run, in some minutes: docs/_build/index.html. A warning is an error.
docs: $(VENV)/.docs
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build

# Against PyTorch and others, in some minutes; all of it: make bench ARGS=--full
bench: $(VENV)/.bench
	$(BIN)/python benchmarks/run.py $(ARGS)

# Environment steps a second beside PureJaxRL, whose folder is given; the page docs/benchmarks-control.md is written anew.
bench-control: $(VENV)/.test
	$(BIN)/python benchmarks/environment_steps.py $(PUREJAXRL) docs/benchmarks-control.md

# A wheel and a source archive in dist/, each installed in an empty environment and asked for its version.
build: $(VENV)/bin/python
	rm -rf dist
	$(BIN)/python -m pip install --quiet --disable-pip-version-check build
	$(BIN)/python -m build --outdir dist > dist.log || { cat dist.log; exit 1; }
	for file in dist/*; do rm -rf $(VENV)/empty && $(PYTHON) -m venv $(VENV)/empty && \
	  $(VENV)/empty/bin/python -m pip install --quiet --no-compile --disable-pip-version-check $$file && \
	  $(VENV)/empty/bin/deepprinciples --version && $(VENV)/empty/bin/deepprinciples show model mlp > dist/card.txt || exit 1; done
	rm -rf $(VENV)/empty dist/card.txt dist.log

# What the CHANGELOG says of the version that stands at its top.
release-notes:
	@awk '/^## /{if (++n > 1) exit; next} n' CHANGELOG.md

# What each probe costs, in some minutes; the page docs/probes.md is written anew.
probe-costs: $(VENV)/.core
	$(BIN)/python benchmarks/probe_costs.py

$(VENV)/bin/python:
	@$(PYTHON) --version >/dev/null || { echo "$(PYTHON) does not start; try: make demo PYTHON=python3"; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "deepprinciples needs Python 3.11 or later; found: $$($(PYTHON) --version). Try: make demo PYTHON=python3.13"; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' || \
	  { echo "this Python has no venv module; on Debian and Ubuntu: apt-get install python3-venv"; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.core: $(SOURCES) | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check -e .
	@touch $@

$(VENV)/.test: $(SOURCES) | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check -e '.[test]'
	@touch $@ $(VENV)/.core

$(VENV)/.long: $(SOURCES) | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check -e '.[test,long]'
	@touch $@ $(VENV)/.test $(VENV)/.core

$(VENV)/.bench: $(SOURCES) | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check -e '.[bench]'
	@touch $@ $(VENV)/.core

$(VENV)/.docs: $(SOURCES) | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check -e '.[docs]'
	@touch $@ $(VENV)/.core

experiments: $(VENV)/.core
	for script in experiments/*.py; do $(BIN)/python $$script || exit 1; done

clean:
	rm -rf .venv* build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache
