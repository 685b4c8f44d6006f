# Bare `make` prints this list.
VERSION ?= $(shell git describe --tags --always 2>/dev/null || echo dev)
LDFLAGS := -s -X longshore/pkg/boot.Version=$(VERSION)
GOARCH_LAMBDA ?= arm64
FUNCTIONS := $(filter-out local,$(notdir $(patsubst %/,%,$(wildcard functions/*/))))
LINT := go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

# No test or example may look for real credentials.
export AWS_EC2_METADATA_DISABLED := true
export SAM_CLI_TELEMETRY := 0

.DEFAULT_GOAL := help
.PHONY: help run demo test lint fuzz bench build fmt

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: bin/longshore ## serve on 127.0.0.1:8080, data in ./.longshore
	@bin/longshore serve

demo: bin/longshore ## trigger two actions on a fresh server and watch their runs
	@bin/longshore demo

test: ## vet and every test, with the race detector; LONGSHORE_REQUIRE_SERVICES=1 makes a skip a failure
	go vet ./...
	go test -race -timeout 20m ./...

CHAOS ?= 100000
.PHONY: chaos
chaos: ## the ledger of CHAOS runs (100,000), and of few on the emulators, while the server is killed at random: 10 minutes at most; CHAOS_SEED=n repeats one
	LONGSHORE_CHAOS=$(CHAOS) LONGSHORE_CHAOS_SEED=$(CHAOS_SEED) go test -count 1 -timeout 10m -run '^TestChaosLedger' -v ./functions/local

lint: ## golangci-lint, package DAG included
	$(LINT) run ./...

FUZZTIME ?= 10s
fuzz: ## fuzz the templates for FUZZTIME each (10s)
	go test -run '^$$' -fuzz '^FuzzParse$$' -fuzztime $(FUZZTIME) ./pkg/jqtemplate
	go test -run '^$$' -fuzz '^FuzzRender$$' -fuzztime $(FUZZTIME) ./pkg/jqtemplate
	go test -run '^$$' -fuzz '^FuzzFastPath$$' -fuzztime $(FUZZTIME) ./pkg/jqtemplate

bench: bin/longshore ## the figures: rendering, process, store, catalog; LONGSHORE_SCALE=1 adds 100,000 entities on DynamoDB Local
	go test -run '^$$' -bench . -benchmem ./pkg/jqtemplate ./pkg/signature ./pkg/trigger ./pkg/dispatch
	go test -timeout 2h -run '^$$' -bench '^BenchmarkCatalogAtScale$$' -benchtime 1x ./pkg/local
	LONGSHORE_REQUIRE_SERVICES=1 go test -count 1 -run '^TestCostOfOneRun$$' -v ./functions | grep 'one run'
	bin/longshore bench-process

build: bin/longshore $(FUNCTIONS:%=bin/%/bootstrap) ## the local binary, and each function for Lambda, into bin/

fmt: ## format the code
	$(LINT) fmt ./...

.PHONY: bin/longshore $(FUNCTIONS:%=bin/%/bootstrap)
bin/longshore:
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o $@ ./functions/local

$(FUNCTIONS:%=bin/%/bootstrap): bin/%/bootstrap:
	CGO_ENABLED=0 GOOS=linux GOARCH=$(GOARCH_LAMBDA) go build -trimpath -tags lambda.norpc -ldflags '$(LDFLAGS)' -o $@ ./functions/$*
