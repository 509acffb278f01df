SHELL := /bin/sh
.DEFAULT_GOAL := help
# Installs Node 24 and the packages if they are missing, then runs the given script.
NODE := node scripts/bootstrap.mjs
BIN := node_modules/.bin
IMAGE ?= discuss-service
ARGS ?=

.PHONY: help
help: ## List all commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: gen
gen: ## Generate gen/ from proto/, and the table of settings in README.md
	@$(NODE) scripts/gen.ts

.PHONY: bundle
bundle: ## Write the protos for clients, with all that they import, to dist/
	@$(NODE) scripts/proto-bundle.ts

.PHONY: contract
contract: ## Write proto/contract.binpb, the released contract that check compares with
	@$(NODE) scripts/contract.ts

.PHONY: check
check: ## Check format, lint, types, imports, Lua, protos, generated code, schema and paths in documents
	@$(NODE) scripts/check.ts

.PHONY: test
test: ## Run all tests, or those whose path contains ARGS
	@$(NODE) scripts/test.ts $(ARGS)

.PHONY: interop
interop: ## Build the examples in Go, Java and Python from the bundle, and run them; ARGS names one language
	@$(NODE) scripts/proto-bundle.ts
	@INTEROP=$(or $(ARGS),true) $(NODE) scripts/test.ts test/interop

.PHONY: run
run: ## Run the service with PostgreSQL, Redis and demo data, stored in .dev/
	@$(NODE) scripts/dev.ts

.PHONY: migrate
migrate: ## Migrate the database of DATABASE_OWNER_URL
	@$(NODE) scripts/migrate.ts

.PHONY: schema
schema: ## Write sql/schema.sql from a freshly migrated database
	@$(NODE) scripts/schema.ts

.PHONY: bench
bench: ## Run the headline benchmarks, or those that ARGS names (a subject, a name, all)
	@$(NODE) bench/main.ts $(ARGS)

.PHONY: chaos
chaos: ## Inject faults under load, for about five minutes; ARGS selects faults
	@$(NODE) scripts/chaos.ts $(ARGS)

.PHONY: drill
drill: ## Back up under load, destroy the database, restore it to a point in time; ARGS is the time of load in seconds
	@$(NODE) scripts/drill.ts $(ARGS)

.PHONY: fuzz
fuzz: ## Send hostile requests to both edges, for about two minutes; ARGS is the time of random requests in seconds
	@$(NODE) scripts/fuzz.ts $(ARGS)

.PHONY: demo
demo: ## Send a conversation to the running service and count the deliveries
	@$(NODE) scripts/demo.ts $(ARGS)

.PHONY: fmt
fmt: ## Format the code and apply safe lint fixes
	@$(NODE) $(BIN)/biome check --write .
	@$(NODE) $(BIN)/buf format --write proto
	@$(NODE) $(BIN)/buf format --write src/event/proto

.PHONY: image
image: ## Build the container image
	docker build --tag $(IMAGE) --build-arg VERSION=$$(node -p 'require("./package.json").version') \
	  --build-arg REVISION=$$(git rev-parse HEAD) .

.PHONY: release
release: ## Write VERSION to all files that state it, and the files of a release to dist/
	@$(NODE) scripts/release.ts $(VERSION)

.PHONY: clean
clean: ## Remove installed packages and .dev/ with all its data
	rm -rf .dev .proto-deps node_modules tools/node/node_modules
