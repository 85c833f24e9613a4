# AIRFLOW=2.11 or 3.3 selects the line of Airflow; each has its own environment.
AIRFLOW ?= 3.3
PYTHON ?= python3
LINES := 2.11 3.3
# SQLAlchemy URLs of databases for `make bench`; a SQLite file by default.
DATABASES ?=
# Duration of `make fuzz` per target.
SECONDS ?= 60
VENV := $(if $(filter 3.3,$(AIRFLOW)),.venv,.venv-$(AIRFLOW))
# There are pins for Python 3.10 and for 3.11; the latter serve later versions too.
PINNED_PYTHON = $(shell $(PYTHON) -c 'import sys; print("3.10" if sys.version_info < (3, 11) else "3.11")')
PINS = constraints/airflow-$(AIRFLOW)-python$(PINNED_PYTHON).txt
READY = $(VENV)/.ready
BIN = $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo quick test check lint types bench fire fuzz mutants pins wheel clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(READY)  ## a search in a real Airflow; set YANDEX_VISION_API_KEY and IMAGES to use your own
	@$(BIN)/python demo/run.py

quick: $(READY)  ## the tests that need no server, in under a minute
	$(BIN)/python -m pytest -m "not integration" $(TESTS)

test: $(READY)  ## all tests, in random order; AIRFLOW=2.11, COVERAGE=--cov, TESTS="tests/images --randomly-seed=1"
	$(BIN)/python -m pytest $(COVERAGE) $(TESTS)

check: lint types  ## lint, types, and all tests on both lines of Airflow
	$(foreach line,$(LINES),$(MAKE) test AIRFLOW=$(line) &&) true

lint: $(READY)  ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)  ## mypy, strict
	$(BIN)/mypy

bench: $(READY)  ## benchmarks as tables; 15 minutes on an otherwise idle machine
	$(BIN)/python -m benchmarks search
	$(BIN)/python -m benchmarks tables $(DATABASES)
	$(BIN)/python -m benchmarks skip --rows 1000000 $(DATABASES)
	$(foreach subject,kills overhead workers reading imports copies,$(BIN)/python -m benchmarks $(subject) &&) true

fire: $(READY)  ## what each fault of the service costs, alone and mixed; long runs, and runs stopped halfway
	$(BIN)/python -m benchmarks fire
	$(BIN)/python -m benchmarks endurance

fuzz: $(READY)  ## fuzz every parser of foreign data; Linux, Python 3.11 to 3.13
	$(BIN)/uv pip install --quiet --python $(BIN)/python --requirement constraints/fuzz.txt
	$(BIN)/python -m fuzz --seconds $(SECONDS) $(TARGET)

mutants: $(READY)  ## mutation tests of wire format, pacing and results; takes an hour
	$(BIN)/uv pip install --quiet --python $(BIN)/python --requirement constraints/mutants.txt
	-$(BIN)/mutmut run
	$(BIN)/mutmut results

pins: $(READY)  ## update constraints/ to the newest versions
	$(foreach line,$(LINES),$(foreach python,3.10 3.11,echo 'apache-airflow==$(line).*' | $(BIN)/uv pip compile \
		pyproject.toml - --quiet --upgrade --extra dev --override constraints/overrides.txt --python-version $(python) \
		--no-annotate --no-header --no-emit-package airflow-provider-yandex-vision \
		--output-file constraints/airflow-$(line)-python$(python).txt &&)) true

wheel: $(READY)  ## build and check the wheel
	rm -rf dist
	$(BIN)/python -m build --wheel --installer uv --outdir dist .
	$(BIN)/twine check dist/*.whl

clean:  ## remove environments and build output
	rm -rf .venv .venv-* .airflow dist

# Installed with uv: pip takes minutes to resolve Airflow.
$(READY): $(PINS) pyproject.toml
	@echo "Installing Airflow $(AIRFLOW) and the development tools into $(VENV)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep '^uv==' $(PINS))"
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python $(PINS)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@
