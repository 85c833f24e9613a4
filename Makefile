# AIRFLOW=2.11 and so on selects the release; each has its own environment, with the pins in constraints/.
AIRFLOW ?= 3.3
OLDEST := 2.11
NEWEST := 3.3
BETWEEN := 3.0 3.1 3.2
# The Python that each release is tested with, if it is installed.
PYTHON_2.11 := 3.10
PYTHON_3.0 := 3.12
PYTHON_3.1 := 3.11
PYTHON_3.2 := 3.13
PYTHON_3.3 := 3.11
PYTHON ?= $(shell .ci/python $(PYTHON_$(AIRFLOW)))
# SQLAlchemy URLs of databases for `make bench`; a SQLite file by default.
DATABASES ?=
# For `make newest`: --prerelease=allow.
UV_OPTIONS ?=
# Options of `make hunt`.
HUNT ?=
# A process per core; the tests of a file stay together, since they share servers.
PARALLEL ?= --numprocesses auto --dist loadfile
# Duration of `make fuzz` per target.
SECONDS ?= 60
VENV := $(if $(filter $(NEWEST),$(AIRFLOW)),.venv,.venv-$(AIRFLOW))
PINS = constraints/airflow-$(AIRFLOW).txt
READY = $(VENV)/.ready
BIN = $(VENV)/bin
DOCS = .venv-docs/bin

.DEFAULT_GOAL := help
.PHONY: help demo quick test check matrix resolve installs lowest lint types bench fire hunt fuzz mutants pins newest docs screenshots wheel workflows clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(READY)  ## a search in a real Airflow; set YANDEX_VISION_API_KEY and IMAGES to use your own
	@$(BIN)/python demo/run.py

quick: $(READY)  ## the tests that need no server, in two minutes
	$(BIN)/python -m pytest $(PARALLEL) -m "not integration" $(TESTS)

test: $(READY)  ## all tests, in random order; AIRFLOW=2.11, COVERAGE=--cov, TESTS="tests/images --randomly-seed=1"
	$(BIN)/python -m pytest $(PARALLEL) $(COVERAGE) $(TESTS)

check: lint types resolve matrix  ## everything: lint, types, resolution, and the tests on every release

matrix:  ## all tests on the oldest and the newest release, those without a server on the ones between
	$(MAKE) test AIRFLOW=$(NEWEST)
	$(foreach release,$(BETWEEN),$(MAKE) quick AIRFLOW=$(release) &&) true
	$(MAKE) test AIRFLOW=$(OLDEST)

resolve: $(READY)  ## whether every extra installs beside the official constraints of every release
	$(BIN)/python .ci/resolve.py

installs: $(READY)  ## the wheel beside official constraints, in fresh environments; runs the demo in each
	.ci/installs

lowest: .venv-lowest/.ready  ## the tests without a server, with the lowest versions that pyproject.toml allows
	.venv-lowest/bin/python -m pytest $(PARALLEL) -m "not integration" $(TESTS)

lint: $(READY)  ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)  ## mypy, strict
	$(BIN)/mypy

bench: $(READY)  ## benchmarks as tables; an hour on an otherwise idle machine
	$(BIN)/python -m benchmarks search
	$(BIN)/python -m benchmarks tables $(DATABASES)
	$(BIN)/python -m benchmarks skip --rows 1000000 $(DATABASES)
	$(foreach subject,kills overhead workers reading imports copies page quota cost claims,$(BIN)/python -m benchmarks $(subject) &&) true

fire: $(READY)  ## what each fault of the service costs, alone and mixed; long runs, and runs stopped halfway
	$(BIN)/python -m benchmarks fire
	$(BIN)/python -m benchmarks endurance

hunt: $(READY)  ## random faults, stops and retries for 15 minutes at most, until a row is lost or untrue; HUNT="--seed 7"
	$(BIN)/python -m benchmarks hunt $(HUNT)

fuzz: $(READY)  ## fuzz every parser of foreign data; Linux, Python 3.11 to 3.13
	$(BIN)/uv pip install --quiet --python $(BIN)/python --requirement constraints/fuzz.txt
	$(BIN)/python -m fuzz --seconds $(SECONDS) $(TARGET)

mutants: $(READY)  ## mutation tests of wire format, pacing and results; takes an hour
	$(BIN)/uv pip install --quiet --python $(BIN)/python --requirement constraints/mutants.txt
	-$(BIN)/mutmut run
	$(BIN)/mutmut results

pins: $(READY)  ## update constraints/: the newest versions beside each release's official constraints
	$(BIN)/python .ci/resolve.py --pins
	$(BIN)/uv pip compile --quiet --no-annotate --no-header --universal --python-version 3.10 --upgrade \
	    --group docs --output-file constraints/docs.txt

newest: .venv-newest/.ready  ## the tests without a server, with the newest of everything
	.venv-newest/bin/python -m pytest $(PARALLEL) -m "not integration" $(TESTS)

docs: .venv-docs/.ready  ## the documentation site, into site/; a dead link is an error
	NO_MKDOCS_2_WARNING=1 $(DOCS)/mkdocs build --strict --quiet
	$(DOCS)/python .ci/llms.py

screenshots: demo  ## make the pictures of docs/ again, in a real browser: the demo's report, and the connection form
	chromium --headless --no-sandbox --hide-scrollbars --window-size=1280,960 --screenshot=docs/report.png \
	    "file://$$(ls -t $(CURDIR)/.airflow/*/reports/*/copies.html | head -n 1)"
	UPDATE_SCREENSHOTS=1 $(BIN)/python -m pytest tests/integration/test_form.py

wheel: .venv-docs/.ready  ## build the sdist, the wheel from it, and check both
	rm -rf dist
	$(DOCS)/python -m build --outdir dist .
	$(DOCS)/twine check --strict dist/*
	$(DOCS)/check-wheel-contents dist/*.whl
	$(DOCS)/pyroma --min 10 dist/*.tar.gz

workflows: .venv-docs/.ready  ## check the workflows of the public host
	$(DOCS)/zizmor --offline .github

clean:  ## remove environments and build output
	rm -rf .venv .venv-* .airflow dist site

# Installed with uv: pip takes minutes to resolve Airflow.
$(READY): $(PINS) pyproject.toml
	@echo "Installing Airflow $(AIRFLOW) and the development tools into $(VENV)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep -o '^uv==[0-9.]*' $(PINS))"
	@$(BIN)/uv pip sync --quiet --require-hashes --python $(BIN)/python $(PINS)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

.venv-lowest/.ready: pyproject.toml
	$(MAKE) $(VENV)/.ready
	@$(BIN)/python .ci/resolve.py --lowest > .lowest.txt
	@test -x .venv-lowest/bin/python || $(shell .ci/python $(PYTHON_$(OLDEST))) -m venv .venv-lowest
	@$(BIN)/uv pip sync --quiet --python .venv-lowest/bin/python .lowest.txt
	@$(BIN)/uv pip install --quiet --python .venv-lowest/bin/python --no-deps --editable .
	@rm .lowest.txt
	@touch $@

.venv-newest/.ready: pyproject.toml
	$(MAKE) $(VENV)/.ready
	@test -x .venv-newest/bin/python || $(PYTHON) -m venv .venv-newest
	@$(BIN)/uv pip install --quiet --python .venv-newest/bin/python --upgrade $(UV_OPTIONS) --editable '.[dev]'
	@touch $@

.venv-docs/.ready: constraints/docs.txt
	@test -x $(DOCS)/python || $(PYTHON) -m venv .venv-docs
	@$(DOCS)/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement constraints/docs.txt
	@touch $@
