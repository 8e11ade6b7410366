# What a person does here. The work itself is in cargo, npm and the scripts under tests/; see `make help`.
SHELL := /bin/bash
.DEFAULT_GOAL := help

# Outside the clone: a second clone, or a fresh one, builds on what is there.
BANNOU_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/bannou
CARGO_TARGET_DIR ?= $(BANNOU_CACHE)/target
export BANNOU_CACHE CARGO_TARGET_DIR

PORT ?= 8080
ADMIN_PORT ?= 9080
INTERNAL_PORT ?= 9081
FOLDER ?= examples/quickstart
# Such as amqp://guest:guest@127.0.0.1:5672; empty: the bus inside the process. By the environment, where a password is seen by fewer.
BROKER ?=
ifneq ($(BROKER),)
export BANNOU_BROKER := $(BROKER)
endif
ARGS ?=
FUZZ_SECONDS ?= 60

.PHONY: help
help: ## Say what there is
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  make run takes PORT=$(PORT) ADMIN_PORT=$(ADMIN_PORT) INTERNAL_PORT=$(INTERNAL_PORT) FOLDER=$(FOLDER) BROKER=amqp://… ARGS='--app account=http://127.0.0.1:7001'"
	@echo "  Builds land in $(CARGO_TARGET_DIR), what the tests need beside it (BANNOU_CACHE, CARGO_TARGET_DIR)"

.PHONY: run
run: ## Start `bannou dev`: gateway, playground and demo services, on loopback alone
	@# The development profile: dependencies are optimised in it, and a first start takes half the time of a release build.
	cargo build --locked -p bannou-cli
	exec "$(CARGO_TARGET_DIR)/debug/bannou" dev "$(FOLDER)" --port $(PORT) --admin-port $(ADMIN_PORT) --internal-port $(INTERNAL_PORT) $(ARGS)

.PHONY: build
build: ## Build the release binaries: bannou, bannou-gateway, bannou-operator
	@# One package after the other: together, cargo would give the gateway the features that only the command needs.
	cargo build --locked --release -p bannou-gateway
	cargo build --locked --release -p bannou-operator
	cargo build --locked --release -p bannou-cli
	@# As kubectl finds it on a PATH: kubectl bannou.
	@ln -sf bannou "$(CARGO_TARGET_DIR)/release/kubectl-bannou"
	@ls -1 "$(CARGO_TARGET_DIR)"/release/{bannou,kubectl-bannou,bannou-gateway,bannou-operator}

.PHONY: check
check: ## Formatting, lints, each package alone, charts, dependencies, types
	@tests/run.sh checks

.PHONY: test
test: ## Install what is missing and run everything: checks, tests, system tests, browser, Autobahn, a minute of fuzzing
	@FUZZ_SECONDS=$(FUZZ_SECONDS) tests/run.sh checks tests

.PHONY: test-faults
test-faults: ## A broker of three nodes that loses one, a gateway, an operator and an API server that stand still for minutes, a thousand edits under a thousand clients: some twenty minutes
	@tests/run.sh faults

.PHONY: test-long
test-long: ## More of the same: many more property cases, ten minutes per fuzz target, the system tests over and over
	@tests/run.sh long

.PHONY: cluster
cluster: ## A Kubernetes on this machine (or the one of KUBECONFIG) with Dapr, RabbitMQ, Bannou, the quickstart and its page
	@tests/node/cluster.sh

.PHONY: cluster-down
cluster-down: ## Take the Kubernetes of `make cluster` away again, all of it
	@tests/node/down.sh

.PHONY: test-cluster
test-cluster: ## The journey from helm install to helm uninstall on it, and what breaks in clusters: some twelve minutes
	@tests/run.sh cluster

.PHONY: fuzz
fuzz: ## Fuzz each target for FUZZ_SECONDS
	@FUZZ_SECONDS=$(FUZZ_SECONDS) tests/run.sh fuzz

.PHONY: bench
bench: ## CPU per message against a plain TCP copy, memory per idle connection, CPU per connect
	@tests/run.sh bench

.PHONY: crds
crds: ## Write crds/*.yaml and the chart's copies anew from the Rust types
	cargo run --quiet --locked -p bannou-crds --features k8s --example crdgen -- crds charts/bannou-crds/templates

.PHONY: fmt
fmt: ## Format the Rust code
	cargo fmt --all

.PHONY: clean
clean: ## Remove what was built, apart from the cache of the tests' parts
	cargo clean
	rm -rf build
