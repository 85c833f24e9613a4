# AIRFLOW=2.11 or 3.3 chooses the line of Airflow; each has an environment of its own.
AIRFLOW ?= 3.3
PYTHON ?= python3
LINES := 2.11 3.3
# SQLAlchemy URLs that `make bench` writes to; a SQLite file where none are given.
DATABASES ?=
# How long `make fuzz` takes for each target.
SECONDS ?= 60
VENV := $(if $(filter 3.3,$(AIRFLOW)),.venv,.venv-$(AIRFLOW))
# Pins exist for Python 3.10 and for 3.11, which serve everything later too.
PINNED_PYTHON = $(shell $(PYTHON) -c 'import sys; print("3.10" if sys.version_info < (3, 11) else "3.11")')
PINS = constraints/airflow-$(AIRFLOW)-python$(PINNED_PYTHON).txt
READY = $(VENV)/.ready
BIN = $(VENV)/bin

.PHONY: demo test check lint types bench fire fuzz mutants pins wheel clean

demo: $(READY)  ## the whole job in a real Airflow; YANDEX_VISION_API_KEY and IMAGES make it yours
	@$(BIN)/python demo/run.py

test: $(READY)  ## all tests on one line of Airflow; COVERAGE=--cov tells what they do not reach
	$(BIN)/python -m pytest $(COVERAGE) $(TESTS)

check: lint types  ## everything: both lines, lint, types
	$(foreach line,$(LINES),$(MAKE) test AIRFLOW=$(line) &&) true

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

bench: $(READY)  ## the figures, as tables; takes a quarter of an hour, on a machine with nothing else to do
	$(BIN)/python -m benchmarks search
	$(BIN)/python -m benchmarks tables $(DATABASES)
	$(BIN)/python -m benchmarks skip --rows 1000000 $(DATABASES)
	$(foreach subject,kills overhead workers reading imports copies,$(BIN)/python -m benchmarks $(subject) &&) true

fire: $(READY)  ## every fault of the service, alone and mixed, and what it cost; a long run, and some that are stopped
	$(BIN)/python -m benchmarks fire
	$(BIN)/python -m benchmarks endurance

fuzz: $(READY)  ## made-up bytes for whatever reads what others wrote; Linux, Python 3.11 to 3.13
	$(BIN)/uv pip install --quiet --python $(BIN)/python --requirement constraints/fuzz.txt
	$(BIN)/python -m fuzz --seconds $(SECONDS) $(TARGET)

mutants: $(READY)  ## which small breaks of the parser, the pacing and the sink no test notices; takes an hour
	$(BIN)/uv pip install --quiet --python $(BIN)/python --requirement constraints/mutants.txt
	-$(BIN)/mutmut run
	$(BIN)/mutmut results

pins: $(READY)  ## renew constraints/ with the newest versions
	$(foreach line,$(LINES),$(foreach python,3.10 3.11,echo 'apache-airflow==$(line).*' | $(BIN)/uv pip compile \
		pyproject.toml - --quiet --upgrade --extra dev --override constraints/overrides.txt --python-version $(python) \
		--no-annotate --no-header --no-emit-package airflow-provider-yandex-vision \
		--output-file constraints/airflow-$(line)-python$(python).txt &&)) true

wheel: $(READY)
	rm -rf dist
	$(BIN)/python -m build --wheel --installer uv --outdir dist .
	$(BIN)/twine check dist/*.whl

clean:
	rm -rf .venv .venv-* .airflow dist

# Installed with uv: pip's resolver takes minutes on Airflow.
$(READY): $(PINS) pyproject.toml
	@echo "Installing Airflow $(AIRFLOW) and what the project needs into $(VENV)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep '^uv==' $(PINS))"
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python $(PINS)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@
