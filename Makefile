# All tasks of the project. `make` without a target lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help tools run test browser manifests screenshots check msrv deny coverage fuzz histories upgrade-test compat bench release clean

CARGO ?= cargo
PYTHON ?= python3
TOOLS := .tools
STAMP := $(TOOLS)/stamp
# Folders of the definitions that `make run` serves. One of the examples has a mistake, to show how
# it is reported.
DIR ?= examples/definitions examples/mistake
# With a value, `make run` starts a NATS server too, and events pass through its stream.
NATS ?=
# End-to-end tests wait for servers most of the time: more of them at once than cores.
E2E_THREADS ?= 5
# cargo-deny is built from crates.io. Its version is in its path, so another one is built anew.
DENY_VERSION := 0.20.2
DENY := $(TOOLS)/crates/cargo-deny-$(DENY_VERSION)
# Without a way to GitHub, where the advisories are: DENY_CHECKS="bans licenses sources".
DENY_CHECKS ?= advisories bans licenses sources
# The tools of `make release`, in the same way.
ABOUT_VERSION := 0.9.3
ABOUT := $(TOOLS)/crates/cargo-about-$(ABOUT_VERSION)
CYCLONEDX_VERSION := 0.5.9
CYCLONEDX := $(TOOLS)/crates/cargo-cyclonedx-$(CYCLONEDX_VERSION)
SBOM := $(TOOLS)/sbom
# A release binary that `make release` packs, in place of building one.
BINARY ?=
# Minimum of covered lines of each crate, in percent.
COVERAGE ?= 90
# A fuzz target of tests/fuzz, or all; seconds for each.
TARGET ?= all
SECONDS ?= 60
# Versions of the Temporal CLI for `make compat`, or all; names of tests, or all.
VERSIONS ?=
TESTS ?=
# The revision of the earlier version of `make upgrade-test`; without it, the last tag.
FROM ?=

help: ## Print this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 18

tools: $(STAMP) ## Put the tools of the tests into .tools/, and install Chromium and systemd on Debian
	tools/chromium.sh install
	tools/promtool.sh install $(TOOLS)
	tools/systemd.sh install

$(STAMP): tools/requirements.txt tools/schemathesis.txt tools/browser.txt tools/deploy.txt tools/install.sh
	PYTHON=$(PYTHON) tools/install.sh $(TOOLS)
	touch $@

run: $(STAMP) ## Build Almanac quickly and run it with a dev server on $(DIR), with NATS=1 beside NATS
	$(CARGO) build --profile local --locked -p almanac
	target/local/almanac dev --temporal-cli $(TOOLS)/bin/temporal $(addprefix --dir ,$(DIR)) \
		$(if $(NATS),--nats --nats-server $(TOOLS)/bin/nats-server)

test: tools ## Run every test, the end-to-end ones on real servers too
	@RUST_TEST_THREADS=$(E2E_THREADS) CARGO="$(CARGO)" tools/summarise.sh tools/test.sh $(TOOLS)

browser: tools ## Run the tests of the web page in a browser: ARGS="-k badge"
	CARGO="$(CARGO)" $(TOOLS)/bin/python -m pytest tests/browser $(ARGS)

manifests: $(STAMP) ## Write the plain manifests in deploy/kubernetes: the chart with its default values
	$(TOOLS)/bin/python tests/deploy/manifests.py deploy/kubernetes

screenshots: tools ## Write a picture of every web page in every look into screenshots/
	CARGO="$(CARGO)" $(TOOLS)/bin/python tests/browser/screenshots.py screenshots

check: ## Formatting, lints and documentation
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps

msrv: ## Compile everything with the oldest compiler that Cargo.toml allows
	rustup run --install $$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml) cargo check --locked --workspace --all-targets

deny: $(DENY)/bin/cargo-deny ## Licenses, advisories and sources of all dependencies
	$(DENY)/bin/cargo-deny --locked check $(DENY_CHECKS)

$(DENY)/bin/cargo-deny:
	$(CARGO) install --locked --root $(DENY) cargo-deny@$(DENY_VERSION)

coverage: $(STAMP) ## Covered lines of `times`, `jq`, `events`, `steps`, `core` and `workflows`: 90 % at least of each
	RUST_TEST_THREADS=$(E2E_THREADS) CARGO="$(CARGO)" PYTHON="$(PYTHON)" tools/coverage.sh $(COVERAGE)

fuzz: ## Search for inputs that break a promise: TARGET=cron SECONDS=60
	CARGO="$(CARGO)" tools/fuzz.sh $(TARGET) $(SECONDS)

histories: $(STAMP) ## Record this version's histories and schedules, for the tests of later versions
	ALMANAC_RECORD_HISTORIES=1 $(CARGO) test --locked --workspace --test e2e -- replay::a_run steps:: after::two_workers upgrades::the_schedules_of_every_release_get_no_write::v1

upgrade-test: $(STAMP) ## Let this version take over from an earlier one while runs are in progress: FROM=v0.1.0
	CARGO="$(CARGO)" tools/upgrade-test.sh $(FROM)

compat: tools ## Run the end-to-end tests on older Temporal servers too: VERSIONS="1.5.1 1.6.2" TESTS=drift::
	@RUST_TEST_THREADS=$(E2E_THREADS) CARGO="$(CARGO)" PYTHON="$(PYTHON)" VERSIONS="$(VERSIONS)" \
		tools/compat.sh $(TOOLS) $(TESTS)

bench: tools ## Compare Almanac with raw requests to the same server
	$(CARGO) build --release --locked --workspace --exclude custom-worker --bins
	target/release/bench

release: $(ABOUT)/bin/cargo-about $(CYCLONEDX)/bin/cargo-cyclonedx $(SBOM)/stamp ## Build the release binary and pack it into target/archive: licenses, SBOM, checksums
	CARGO="$(CARGO)" CARGO_ABOUT="$(abspath $(ABOUT))" CARGO_CYCLONEDX="$(abspath $(CYCLONEDX))" \
		tools/release.sh $(if $(BINARY),--binary "$(BINARY)")
	$(SBOM)/bin/python tools/check_sbom.py target/archive/almanac-*.cdx.json

$(ABOUT)/bin/cargo-about:
	$(CARGO) install --locked --root $(ABOUT) --features cli cargo-about@$(ABOUT_VERSION)

$(CYCLONEDX)/bin/cargo-cyclonedx:
	$(CARGO) install --locked --root $(CYCLONEDX) cargo-cyclonedx@$(CYCLONEDX_VERSION)

$(SBOM)/stamp: tools/release.txt
	$(PYTHON) -m venv $(SBOM)
	$(SBOM)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r tools/release.txt
	touch $@

clean: ## Remove what was built and the tools
	$(CARGO) clean
	rm -rf $(TOOLS)
