SHELL := /bin/sh
.DEFAULT_GOAL := help
# Brings Node 24 and the packages where they are missing, then runs what follows.
NODE := node scripts/bootstrap.mjs
BIN := node_modules/.bin
IMAGE ?= discuss-service
ARGS ?=

.PHONY: help
help: ## This list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: gen
gen: ## Generate gen/ from proto/
	@$(NODE) scripts/gen.ts

.PHONY: contract
contract: ## Write proto/contract.binpb, the released contract that check compares with
	@$(NODE) scripts/contract.ts

.PHONY: check
check: ## Format, lint, types, protos, generated code and schema are in order
	@$(NODE) scripts/check.ts

.PHONY: test
test: ## Run all tests, or those whose path holds ARGS
	@$(NODE) scripts/test.ts $(ARGS)

.PHONY: run
run: ## Run the service with PostgreSQL, Redis and demo data; .dev/ keeps them
	@$(NODE) scripts/dev.ts

.PHONY: migrate
migrate: ## Bring the database of DATABASE_OWNER_URL up to date
	@$(NODE) scripts/migrate.ts

.PHONY: schema
schema: ## Write sql/schema.sql from a freshly migrated database
	@$(NODE) scripts/schema.ts

.PHONY: bench
bench: ## Measure; one JSON line for each figure
	@$(NODE) bench/main.ts $(ARGS)

.PHONY: chaos
chaos: ## Break things under load, for some minutes; one JSON line for each fault
	@$(NODE) scripts/chaos.ts $(ARGS)

.PHONY: demo
demo: ## Hold a conversation against the running service and count what arrives
	@$(NODE) scripts/demo.ts $(ARGS)

.PHONY: fmt
fmt: ## Format and mend what can be mended
	@$(NODE) $(BIN)/biome check --write .
	@$(NODE) $(BIN)/buf format --write proto

.PHONY: image
image: ## Build the container image
	docker build --tag $(IMAGE) .

.PHONY: clean
clean: ## Remove packages and .dev/ with all its data
	rm -rf .dev .proto-deps node_modules tools/node/node_modules
