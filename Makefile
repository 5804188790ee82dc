# make demo   the main task on rendered dishes: train, evaluate, report, export, predict
# make check  lint, types, layers and the quick unit tests: before every commit
# make test   lint, and all tests but the slow ones; installs Chromium, WebKit and PostgreSQL if missing
# make test-slow   the tests of many seconds: every kill point, tracing, Docker, notebook
# make coverage    line coverage of both
# make test-latest, make test-lowest   smoke tests with the newest and the lowest versions allowed
# make docs   build the documentation site in build/site
# make serve  run the service and the web page on this machine
# make bench  measure speed; writes benchmarks/results.md
#
# make plate DATA=dishes   retrain the bundled model: runs/plate/plate.onnx
# make mobile DATA=dishes, make tiny DATA=dishes   retrain the smaller ones; all resume
#
# PYTHON=python3.12 chooses the interpreter for a new environment (3.11 or later).

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := demo
DATA ?= dishes

# Many images set it; every process would then compile PyTorch's modules again, for 20 seconds.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo docs check test test-slow coverage test-tools test-latest test-lowest serve lint bench plate mobile tiny clean

# One stamp per set of extras: a second run reuses the environment.
$(VENV)/.installed-%: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "platecheck needs Python 3.11 or later: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing platecheck[$*] into $(VENV) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[$*]'
	@touch $@

demo: $(VENV)/.installed-train
	@BIN=$(BIN) DEMO=$(DEMO) sh examples/demo.sh

serve: $(VENV)/.installed-serve
	@$(BIN)/platecheck serve

check: lint
	$(BIN)/python -m pytest -q -n auto --dist loadfile -m "not slow" --hypothesis-profile quick tests/unit

PYTEST := $(BIN)/python -m pytest -q -n auto --maxprocesses 4 --dist loadfile --durations 20

test: lint test-tools
	$(PYTEST) -m "not slow"

test-slow: test-tools
	$(PYTEST) -m slow

coverage: test-tools
	$(PYTEST) --cov

test-tools: $(VENV)/.installed-dev
	@sh tests/chromium.sh $(BIN)/python
	@sh tests/webkit.sh
	@sh tests/postgres.sh
	@sh tests/promtool.sh $(BIN)
	@command -v strace >/dev/null || apt-get install -qq -y strace >/dev/null 2>&1 \
		|| echo "no strace: the privacy tests are skipped"

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	@if command -v npx >/dev/null; then npx --yes --package typescript@5.9 tsc; \
		else echo "no npm: the JavaScript is not type-checked"; fi

docs: $(VENV)/.installed-dev
	@$(BIN)/python docs/generate.py
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

# What a user gets who installs today.
test-latest:
	@rm -rf $(VENV)-latest && $(PYTHON) -m venv $(VENV)-latest
	@$(VENV)-latest/bin/python -m pip install --quiet --disable-pip-version-check uv
	@$(VENV)-latest/bin/uv pip install --quiet --python $(VENV)-latest/bin/python '.[all]' pytest
	$(VENV)-latest/bin/python -m pytest --confcutdir=tests/smoke -p no:cacheprovider tests/smoke

test-lowest:
	@rm -rf $(VENV)-lowest && $(PYTHON) -m venv $(VENV)-lowest
	@$(VENV)-lowest/bin/python -m pip install --quiet --disable-pip-version-check uv pytest
	@$(VENV)-lowest/bin/uv pip install --quiet --python $(VENV)-lowest/bin/python \
		--resolution lowest-direct '.[serve]'
	$(VENV)-lowest/bin/python -m pytest --confcutdir=tests/smoke -p no:cacheprovider tests/smoke \
		-k 'predict_answers or serve'

bench: $(VENV)/.installed-dev
	$(BIN)/python -m benchmarks

plate: RECIPE := plate
plate: PROMISE := --max-missed-dirty 0.03 --max-false-alarm 0.02
mobile: RECIPE := mobile
mobile: PROMISE := --max-missed-dirty 0.03 --max-false-alarm 0.03
tiny: RECIPE := tiny_vgg_plate
tiny: PROMISE := --max-missed-dirty 0.05 --max-false-alarm 0.05
plate mobile tiny: $(VENV)/.installed-train
	$(BIN)/platecheck train $(RECIPE) --data $(DATA) --out runs/$(RECIPE) --precision bf16-mixed \
		$(if $(wildcard runs/$(RECIPE)),--resume)
	$(BIN)/platecheck export runs/$(RECIPE) --int8 -o runs/$(RECIPE)/$@.onnx $(PROMISE)

clean:
	rm -rf $(VENV) $(VENV)-latest $(VENV)-lowest $(DEMO) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
