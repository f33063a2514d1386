# `make help` lists the targets. Everything is installed into .venv; nothing outside the checkout is written
# except the caches of pip and of the toolkit itself.

.POSIX:
.PHONY: help venv demo test clean

# A Python to make the virtual environment with; by default the first 3.11 or newer that is found.
PYTHON =
IN_VENV = .venv/bin/python
INSTALL = $(IN_VENV) -m pip install --quiet --disable-pip-version-check

help:
	@echo "make venv   create .venv and install the toolkit into it, editable"
	@echo "make demo   fine-tune the embedded backbone on 100 labelled handwritten digits, in runs/demo-N"
	@echo "make test   the default tests, then the contract tests (pytest -m \"contract and not slow\")"
	@echo "make clean  remove what make and the tests wrote, except .venv and runs"
	@echo "A Python of your choice: make PYTHON=/path/to/python3.11 venv (only before .venv exists)"

venv: .venv/installed

.venv/bin/python:
	@for python in "$(PYTHON)" python3.11 python3.12 python3.13 python3 python; do \
	    if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	        echo "Creating .venv with $$("$$python" --version)"; \
	        "$$python" -m venv .venv && exit 0; \
	        rm -f .venv/bin/python; exit 1; \
	    fi; \
	done; \
	echo "No Python 3.11 or newer found. Name one: make PYTHON=/path/to/python3.11 ..." >&2; exit 1

.venv/installed: .venv/bin/python setup.cfg pyproject.toml
	@echo "Installing the toolkit into .venv (TensorFlow is large: this can take minutes)"
	@$(INSTALL) --editable ".[demo]"
	@touch $@

.venv/installed-test: .venv/installed
	@echo "Installing what the tests need"
	@$(INSTALL) --editable ".[demo,test]"
	@touch $@

# Each demo gets a folder of its own, because the toolkit never overwrites a run.
demo: .venv/installed
	@$(IN_VENV) data/digits/prepare.py
	@number=1; \
	while [ -e "runs/demo-$$number" ]; do number=$$((number + 1)); done; \
	mkdir -p runs && \
	echo "toolkit fine-tune data/digits/digits.csv --output runs/demo-$$number" && \
	.venv/bin/toolkit fine-tune data/digits/digits.csv --output "runs/demo-$$number" && \
	echo "The model, the predictions and the report are in runs/demo-$$number."

test: .venv/installed-test
	$(IN_VENV) -m pytest --quiet --numprocesses 2 --dist loadfile
	$(IN_VENV) -m pytest --quiet --numprocesses 2 --dist loadfile -m "contract and not slow"

clean:
	rm -rf build dist toolkit.egg-info .pytest_cache .hypothesis data/digits/images data/digits/digits.csv
	find toolkit recipes tests data benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
	@echo "Kept: .venv and runs. Remove them by hand if you want to."
