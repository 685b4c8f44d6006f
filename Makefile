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
.PHONY: help run demo test lint fuzz contract bench bench-compare build fmt

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: bin/longshore ## serve on 127.0.0.1:8080, data in ./.longshore
	@bin/longshore serve

demo: bin/longshore ## trigger two actions on a fresh server and watch their runs
	@bin/longshore demo

test: ## vet and every test, with the race detector; LONGSHORE_REQUIRE_SERVICES=1 makes a skip a failure
	go vet ./...
	go test -race -timeout 40m ./...

CHAOS ?= 100000
.PHONY: chaos
chaos: ## the ledger of CHAOS runs (100,000), and of few on the emulators, while the server is killed at random: 10 minutes at most; CHAOS_SEED=n repeats one
	LONGSHORE_CHAOS=$(CHAOS) LONGSHORE_CHAOS_SEED=$(CHAOS_SEED) go test -count 1 -timeout 10m -run '^TestChaosLedger' -v ./functions/local

CHANGES ?= 10000
.PHONY: changes
changes: ## CHANGES changes (10,000), the server killed five times, and the runs of automations counted, on SQLite and the emulators: 20 minutes at most; CHANGES_SEED=n repeats one
	LONGSHORE_CHANGES=$(CHANGES) LONGSHORE_CHANGES_SEED=$(CHANGES_SEED) go test -count 1 -timeout 20m -run '^TestAutomatedChanges' -v ./functions/local

lint: ## golangci-lint, package DAG included
	$(LINT) run ./...

.PHONY: vuln
vuln: ## known vulnerabilities of what the code calls (govulncheck)
	go run golang.org/x/vuln/cmd/govulncheck@v1.9.0 ./...

FUZZTIME ?= 10s
FUZZ = $(shell grep -rl '^func Fuzz' --include '*_test.go' pkg | xargs grep -o '^func Fuzz[A-Za-z]*' | sed 's,/[^/]*:func ,:,' | sort)
fuzz: ## every fuzz target for FUZZTIME each (10s); what one finds stays in its testdata/fuzz
	@for target in $(FUZZ); do \
		echo "$$target"; \
		go test -run '^$$' -fuzz "^$${target##*:}$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10s "./$${target%:*}" || exit; \
	done

contract: bin/longshore ## ask a fresh server what its OpenAPI document promises (schemathesis)
	@.ci/contract bin/longshore

# Where the figures are kept: results.json, and results.txt for bench-compare.
BENCH ?= bin/bench
BENCHED := $(FUNCTIONS:%=bin/bench/%/bootstrap) bin/bench/hello/bootstrap
bench: bin/longshore $(BENCHED) ## the figures, kept in BENCH (bin/bench); LONGSHORE_SCALE=1 adds 100,000 entities on DynamoDB Local, LONGSHORE_BENCH_STORED=0 leaves out 1,000,000 stored runs
	@mkdir -p $(BENCH)
	go test -run '^$$' -bench . -benchmem ./pkg/jqtemplate ./pkg/signature ./pkg/trigger ./pkg/automation ./pkg/dispatch >$(BENCH)/go.txt
	@cat $(BENCH)/go.txt
	go test -timeout 2h -run '^$$' -bench '^BenchmarkCatalogAtScale$$' -benchtime 1x ./pkg/local >$(BENCH)/catalog.txt
	@cat $(BENCH)/catalog.txt
	LONGSHORE_REQUIRE_SERVICES=1 go test -count 1 -run '^TestCostOfOneRun$$' -v ./functions | grep 'one run' >$(BENCH)/cost.txt
	@cat $(BENCH)/cost.txt
	bin/longshore bench-process --functions bin/bench --results $(BENCH)/results.json --samples $(BENCH)/process.txt
	@cat $(BENCH)/go.txt $(BENCH)/catalog.txt $(BENCH)/process.txt >$(BENCH)/results.txt

BENCHSTAT := go run golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da
bench-compare: ## compare two results.txt of bench: make bench-compare OLD=… NEW=…
	$(BENCHSTAT) $(OLD) $(NEW)

build: bin/longshore $(FUNCTIONS:%=bin/%/bootstrap) ## the local binary, and each function for Lambda, into bin/

fmt: ## format the code
	$(LINT) fmt ./...

.PHONY: bin/longshore $(FUNCTIONS:%=bin/%/bootstrap) $(BENCHED)
bin/longshore:
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o $@ ./functions/local

$(FUNCTIONS:%=bin/%/bootstrap): bin/%/bootstrap:
	CGO_ENABLED=0 GOOS=linux GOARCH=$(GOARCH_LAMBDA) go build -trimpath -tags lambda.norpc -ldflags '$(LDFLAGS)' -o $@ ./functions/$*

# For this machine.
$(FUNCTIONS:%=bin/bench/%/bootstrap): bin/bench/%/bootstrap:
	CGO_ENABLED=0 go build -trimpath -tags lambda.norpc -ldflags '$(LDFLAGS)' -o $@ ./functions/$*

bin/bench/hello/bootstrap:
	CGO_ENABLED=0 go build -trimpath -tags lambda.norpc -ldflags '$(LDFLAGS)' -o $@ ./testdata/bench/hello
