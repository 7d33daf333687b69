# Everything a developer or a newcomer types. Needs Python 3.11 or newer, git and make; the rest goes into .venv.
.PHONY: setup demo test check soak bench rivals lock docs size clean

bin := .venv/bin
pytest := $(bin)/python -m pytest
# A file of tests stays in one process; most of the time is spent by the processes that tests start.
together := -n logical --maxprocesses 4 --dist loadfile

setup:          ## build .venv for development from the hashed lock
	@requirements/setup.sh dev

demo:           ## play a year of real flights through the whole loop; ARGS="--days 60" shortens it
	@requirements/setup.sh demo
	$(bin)/evertrain demo $(ARGS)

test: setup     ## all tests but the long ones; ARGS="tests/core -k time" picks some
	@.ci/browser
	@.ci/systemd
	$(pytest) $(together) -m "not soak" $(ARGS)

check: setup    ## the whole gate: format, lint, types, imports, tests, documentation
	$(bin)/ruff format --check .
	$(bin)/ruff check .
	$(bin)/mypy
	$(bin)/lint-imports
	@.ci/browser
	@.ci/systemd
	$(pytest) $(together) -m "not soak"

soak: setup     ## the tests that take long
	@.ci/browser
	$(pytest) -m soak --timeout 3600

bench: setup    ## what serving and the loop cost; ARGS="--quick" is a short look
	@for file in benchmarks/*.py; do echo "== $$file"; $(bin)/python "$$file" $(ARGS) || exit 1; done

rivals: setup   ## what the benchmarks compare with, each in an environment of its own under .rivals
	$(bin)/python -m evertrain.testing.rival .rivals

docs: setup     ## write the generated pages of docs/reference anew
	$(bin)/python -m evertrain.cli.reference docs/reference

size: setup     ## measure the installed size of the base and of the demo, in throw-away environments
	@requirements/size.sh

lock:           ## resolve the locks anew; needs uv on PATH
	@requirements/lock.sh

clean:          ## remove everything that a build or a test run leaves behind, .venv included
	rm -rf .venv .demo .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
