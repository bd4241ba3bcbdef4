# Everything that one does with this repository. `make` alone lists it.
SHELL := bash
.SHELLFLAGS := -o errexit -o nounset -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Packages of the main module, e.g. PKG=./pkg/ring make bench.
PKG ?= ./...
# Tests, benchmarks or fuzz targets to run, a regular expression.
RUN ?= .
# Figures to measure, separated by commas; empty: all.
ONLY ?=
# More flags of the demo.
DEMO_FLAGS ?=
# How often the tests with faults run.
COUNT ?= 1
# How long each fuzz target runs.
FUZZTIME ?= 10s
# How long the simulation runs.
SOAK ?= 1h
# The sharder's image: its name, with its registry and without a tag.
IMAGE ?= clusterring/sharder
# The version of the image or the release; empty for an image: what git describes the commit as.
VERSION ?=

TOOLS := bin/tools
MODULES := . hack/tools tools/devcluster tools/devcluster/slottest tools/experiment tools/kubectl-clusterring tools/release

##@ General

.PHONY: help
help: ## List the targets.
	@awk 'BEGIN {FS = ":.*## "; print "usage: make <target>"} \
		/^##@ / {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z][a-z\/-]*:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: build ## Watch shards share the work, join, leave and crash on a real control plane. KEEP=1 leaves it running.
	bin/demo $(DEMO_FLAGS)

.PHONY: clean
clean: ## Remove what was built.
	rm -rf bin dist _artifacts

##@ Build

.PHONY: build
build: bin/devcluster ## Build the programs into bin/.
	go build -o bin/ ./tools/sharder ./tools/demo ./tools/bench ./sample-controller
	go build -o bin/webhosting-operator ./examples/webhosting

.PHONY: bin/devcluster
bin/devcluster: ## Build the embedded control plane. The first time takes minutes.
	@tools/devcluster/build.sh

.PHONY: evaluation
evaluation: build experiment ## Measure the setups and how they scale on a machine that does nothing else, which takes more than an hour. Goes on where it was interrupted.
	bin/experiment evaluation

.PHONY: evaluation-smoke
evaluation-smoke: build experiment ## Carry out some runs of the evaluation for some seconds each, to see that everything works.
	rm -rf _artifacts/evaluation-short
	bin/experiment evaluation --short

.PHONY: experiment
experiment: ## Build the tool that runs and measures experiments into bin/.
	go -C tools/experiment build -o ../../bin/experiment .

.PHONY: plugin
plugin: ## Build the kubectl plugin into bin/. With bin/ in the PATH it is `kubectl clusterring`.
	go -C tools/kubectl-clusterring build -o ../../bin/kubectl-clusterring .
	ln -sf kubectl-clusterring bin/kubectl_complete-clusterring

.PHONY: image
image: bin/release ## Make the image of the sharder for amd64 and arm64, as a file in dist/ that container runtimes load. IMAGE, VERSION.
	bin/release image --image '$(IMAGE)' --version '$(VERSION)'

.PHONY: push
push: bin/release ## Make the image of the sharder and push it, with the credentials of docker login: IMAGE=host/name. VERSION.
	bin/release push --image '$(IMAGE)' --version '$(VERSION)'

.PHONY: release
release: bin/release ## Make all files of a release in dist/: VERSION=v1.2.3. IMAGE.
	rm -rf _artifacts/dist
	bin/release all --image '$(IMAGE)' --version '$(VERSION)' --out _artifacts/dist
	rm -rf dist && mv _artifacts/dist dist

.PHONY: bin/release
bin/release:
	go -C tools/release build -o ../../bin/release .

.PHONY: modules
modules: ## Download all modules, for working without a network afterwards.
	for module in $(MODULES); do go -C "$$module" mod download; done

##@ Test

.PHONY: test
test: build $(TOOLS)/gotestsum ## Run the tests of all modules but the soaks, the main module's with the race detector.
	$(TOOLS)/gotestsum --format standard-quiet --raw-command -- hack/test.sh

.PHONY: test-unit
test-unit: ## Run the quick tests, without a control plane.
	go test -short $(PKG)

.PHONY: test-integration
test-integration: build ## Run the tests that need the embedded control plane.
	hack/test-integration.sh

.PHONY: test-faults
test-faults: build ## Kill, hang and cut off real processes, COUNT (1) times in a row. RUN picks tests.
	hack/test-faults.sh $(COUNT) $(if $(filter-out .,$(RUN)),'$(RUN)')

.PHONY: soak
soak: ## Simulate systems with faults for SOAK (1h), schedules of all kinds in turn, each from a seed of its own.
	go test -c -o bin/sim.test ./internal/sim
	bin/sim.test -test.run '^TestSchedules$$' -test.timeout 0 -sim.for $(SOAK)

.PHONY: fuzz
fuzz: ## Run all fuzz targets in turn, each for FUZZTIME (10s). RUN picks targets.
	hack/fuzz.sh $(FUZZTIME) '$(RUN)'

.PHONY: bench
bench: build ## Run the benchmarks. PKG picks packages, RUN benchmarks.
	go test -run '^$$' -bench '$(RUN)' -benchmem $(PKG)

.PHONY: figures
figures: build ## Measure what it costs on a real control plane, see docs/benchmarks.md. ONLY picks figures.
	bin/bench $(if $(ONLY),--only $(ONLY))

##@ Generate and verify

.PHONY: generate
generate: ## Generate deep copies, clients and CRD manifests.
	hack/update-codegen.sh

.PHONY: verify
verify: verify-format verify-docs verify-generated verify-modules vet lint ## Check everything but the tests. Changes nothing.

.PHONY: verify-generated
verify-generated: ## Check that the generated files are up to date.
	hack/verify-codegen.sh

.PHONY: verify-modules
verify-modules: ## Check that go.mod and go.sum of all modules are tidy.
	for module in $(MODULES); do go -C "$$module" mod tidy -diff; done

.PHONY: verify-format
verify-format: ## Check that all Go files are formatted.
	@unformatted="$$(gofmt -l -s $$(git ls-files --cached --others --exclude-standard '*.go'))"; \
	if [[ -n "$$unformatted" ]]; then echo >&2 "run gofmt -s -w on:"; echo >&2 "$$unformatted"; exit 1; fi

.PHONY: vet
vet: bin/devcluster ## Run go vet.
	go vet ./...
	go -C tools/devcluster vet ./...
	go -C tools/devcluster/slottest vet ./...
	go -C tools/experiment vet ./...
	go -C tools/kubectl-clusterring vet ./...
	go -C tools/release vet ./...

.PHONY: lint
lint: bin/devcluster $(TOOLS)/staticcheck ## Run staticcheck on everything that is written by hand.
	$(TOOLS)/staticcheck $$(go list ./... | grep -v /generated)
	cd tools/devcluster && $(CURDIR)/$(TOOLS)/staticcheck ./...
	cd tools/devcluster/slottest && $(CURDIR)/$(TOOLS)/staticcheck ./...
	cd tools/experiment && $(CURDIR)/$(TOOLS)/staticcheck ./...
	cd tools/kubectl-clusterring && $(CURDIR)/$(TOOLS)/staticcheck ./...
	cd tools/release && $(CURDIR)/$(TOOLS)/staticcheck ./...

.PHONY: verify-docs
verify-docs: ## Check links, commands and flags in the documentation, and the rules of the repository.
	go test ./hack/repotest

$(TOOLS)/gotestsum $(TOOLS)/staticcheck: hack/tools/go.mod hack/tools/go.sum
	go -C hack/tools build -o ../../bin/tools/ $$(go -C hack/tools list tool | grep '/$(@F)$$')
	@touch $@
