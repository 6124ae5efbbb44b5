# One way in for everything. `make` alone prints what there is.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help tools run test check histories bench clean

CARGO ?= cargo
PYTHON ?= python3
TOOLS := .tools
STAMP := $(TOOLS)/stamp
DIR ?= examples/definitions
# End-to-end tests wait for servers most of the time: more of them at once than cores.
E2E_THREADS ?= 4

help: ## Print this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

tools: $(STAMP) ## Put the Temporal CLI and schemathesis into .tools/

$(STAMP): tools/requirements.txt tools/schemathesis.txt tools/install.sh
	PYTHON=$(PYTHON) tools/install.sh $(TOOLS)
	touch $@

run: tools ## Build Almanac quickly and run it with a dev server on $(DIR)
	$(CARGO) build --profile local --locked -p almanac
	target/local/almanac dev --temporal-cli $(TOOLS)/bin/temporal --dir $(DIR)

test: tools ## Run every test, the end-to-end ones on real servers too
	@RUST_TEST_THREADS=$(E2E_THREADS) tools/summarise.sh $(CARGO) test --locked --workspace --no-fail-fast

check: ## Formatting, lints and documentation
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps

histories: tools ## Record this version's histories of the workflows, for replay
	ALMANAC_RECORD_HISTORIES=1 $(CARGO) test --locked -p almanac-tests --test e2e -- replay::a_run steps::

bench: tools ## Compare Almanac with raw requests to the same server
	$(CARGO) build --release --locked --workspace --bins
	target/release/bench

clean: ## Remove what was built and the tools
	$(CARGO) clean
	rm -rf $(TOOLS)
