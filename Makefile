# The living list of commands. `make help` prints it.

# Beside the clone rather than in it, so that every clone of one machine shares what was compiled.
HEADROOM_CACHE ?= $(HOME)/.cache/headroom
CARGO_TARGET_DIR ?= $(HEADROOM_CACHE)/target
export HEADROOM_CACHE CARGO_TARGET_DIR

CARGO ?= cargo
# What `make demo` plays: make demo SCENARIO=login-storm SEED=7 SPEED=10
SCENARIO ?= exam-start
SEED ?= 1
SPEED ?= 4

.DEFAULT_GOAL := help
# How long `make fuzz` runs, in all: make fuzz SECONDS=60
SECONDS ?= 600
# What is built beside the default, in what is tested and given to people.
FEATURES ?= calendar,forecast,gateway
FUZZ_TARGETS ?= protobuf json engine

.PHONY: help demo demo-envoy test lint bench fuzz release dist deploy accept-loop accept-localise accept-speed accept-kubernetes accept-house accept-diagnosis accept-hard accept-traces accept-see accept-stranger accept-shaping accept-anticipate accept-forecasts dashboards dashboards-preview

help: ## print this list
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Unoptimised, the crate compiles in a third of the time, and a demo still keeps pace with its speed.
demo: export CARGO_PROFILE_DEV_OPT_LEVEL = 0
demo: ## watch the loop close on the embedded cluster (SCENARIO, SEED, SPEED)
	$(CARGO) run --locked -- demo --scenario $(SCENARIO) --seed $(SEED) --speed $(SPEED)

demo-envoy: export CARGO_PROFILE_DEV_OPT_LEVEL = 0
demo-envoy: ## watch a real Envoy ask headroom while three times as much comes as a service can do (3 min)
	tests/real/setup.sh python envoy
	$(CARGO) build --locked --features $(FEATURES) --bin headroom
	python3 examples/front-door/demo.py --headroom $(CARGO_TARGET_DIR)/debug/headroom

# Setting up and compiling would share the cores and each take twice as long: one after the other.
# A test that lacks a program says so in this file, and its name is the last thing to be read.
# What follows a real burst runs by itself: beside others the machine, and not the service, is what is too slow.
test: ALONE = real::a_burst kubernetes::closed_loop gateway::at_twice
test: export HEADROOM_SKIPPED = $(CARGO_TARGET_DIR)/skipped-tests
test: ## run every test; installs what they need
	tests/real/setup.sh
	tests/control-plane/build.sh
	@mkdir -p $(CARGO_TARGET_DIR) && rm -f $(HEADROOM_SKIPPED)
	@$(CARGO) test --locked --features $(FEATURES) -- $(ALONE:%=--skip %) && \
	$(CARGO) test --locked --features $(FEATURES) --test it -- --test-threads 1 $(ALONE); status=$$?; \
	if [ -s $(HEADROOM_SKIPPED) ]; then \
	  printf '\n*** SKIPPED TESTS (HEADROOM_NO_SKIP=1 makes them failures) ***\n'; cat $(HEADROOM_SKIPPED); \
	fi; \
	exit $$status

lint: ## formatting, clippy with warnings denied, and what comes from elsewhere: licences, versions, advisories
	$(CARGO) fmt --check
	python3 tests/supply.py
	$(CARGO) clippy --locked --all-targets --features $(FEATURES) -- -D warnings

bench: ## what a span costs: decoding beside prost, window, critical path, ticks up to 10 M spans
	$(CARGO) bench --locked

# What `headroom version` says: of releases alone, so that no other build depends on the commit.
release: export HEADROOM_COMMIT = $(shell git rev-parse --short=12 HEAD 2>/dev/null)
release: export HEADROOM_BUILT = $(shell date -u +%Y-%m-%d)
release: ## build the release binary, which knows its commit and date
	$(CARGO) build --locked --release --features $(FEATURES) --bin headroom

dist: release ## what is given to people, in the target folder: archive, .deb, completions, man pages, SBOM, checksums
	dist/make.sh

deploy: ## make what deploy/ holds from other files: the CRD, the chart's rules, the kustomize base
	tests/control-plane/build.sh
	@mkdir -p deploy/helm/headroom/crds
	$(CARGO) run --locked -- crd serviceobjectives > deploy/helm/headroom/crds/serviceobjectives.yaml
	$(CARGO) run --locked -- crd capacityevents > deploy/helm/headroom/crds/capacityevents.yaml
	$(CARGO) run --locked -- crd routeobjectives > deploy/helm/headroom/crds/routeobjectives.yaml
	deploy/render.sh

# What builds and draws them lies in the cache; the link lets the compiler find it beside the sources.
dashboards: ## make dashboards/*.json from dashboards/src, and hold them against Grafana's types
	tests/real/setup.sh
	@ln -sfn $(HEADROOM_CACHE)/real/dashboards/node_modules dashboards/node_modules
	cd dashboards && npm run --silent build && npm run --silent literals

dashboards-preview: dashboards ## play a demo, and draw every panel from a real Prometheus' answers (3 min)
	$(CARGO) build --locked --release --features $(FEATURES) --bin headroom
	python3 tests/accept/see.py --pictures

# Needs a nightly compiler and cargo-fuzz. Without a sanitizer: the code is safe Rust, a finding is a panic.
fuzz: ## feed the decoders and the engine what nobody would send (SECONDS, FUZZ_TARGETS)
	@cd fuzz && for target in $(FUZZ_TARGETS); do \
	  features=; [ $$target = engine ] && features='--features engine'; \
	  $(CARGO) +nightly fuzz run --sanitizer none --target-dir $(CARGO_TARGET_DIR)/fuzz $$features $$target -- \
	    -max_total_time=$$(($(SECONDS) / $(words $(FUZZ_TARGETS)))) -max_len=4096 || exit 1; \
	done

accept-loop: ## what the loop must show, a line a figure: scenarios, determinism, incidents, real sources, kills, bad input
	$(CARGO) build --locked --release --features $(FEATURES)
	python3 tests/accept/loop.py

accept-localise: ## how well the faulty service is named: recorded incidents, healthy data, scenarios
	$(CARGO) build --locked --release --features $(FEATURES)
	python3 tests/accept/localise.py

accept-speed: ## what a span costs beside prost and a peer, what a flood does, ten minutes of fuzzing
	$(CARGO) build --locked --release --features $(FEATURES) --bin headroom --examples
	python3 tests/accept/speed.py

accept-kubernetes: ## the loop on a real control plane: levers, policies, failover, deployment, many workloads
	tests/control-plane/build.sh
	$(CARGO) build --locked --release --features $(FEATURES)
	python3 tests/accept/kubernetes.py

accept-house: ## what the inside must show: borders, orders, clocks, sentences, arbitrary input, speed
	$(CARGO) build --locked --release --features $(FEATURES) --bin headroom --examples
	python3 tests/accept/house.py

accept-diagnosis: ## whether one diagnosis holds on systems nobody tuned it on: drawn ones, recorded ones, whole runs
	$(CARGO) build --locked --release --features $(FEATURES)
	python3 tests/accept/diagnosis.py

accept-hard: ## nobody brings it down: hostile statements, requests, rules and connections, fuzzing, pages of others, a soak
	$(CARGO) build --locked --release --features $(FEATURES) --bin headroom --example fuzz
	python3 tests/accept/hard.py

accept-traces: ## traces as they really are: each scenario with each disturbance, and what doctor says of them
	$(CARGO) build --locked --release --features $(FEATURES) --bin headroom
	python3 tests/accept/traces.py
	python3 tests/accept/shapes.py

accept-see: ## what people see: dashboards, alerts, notices, and pictures of incidents, from a real Prometheus (20 min)
	tests/real/setup.sh
	$(CARGO) build --locked --release --features $(FEATURES) --bin headroom --examples
	python3 tests/accept/see.py

accept-anticipate: ## capacity before the bell: a school day with its calendar, and calendars that lie (40 min)
	$(CARGO) build --locked --release --features $(FEATURES) --bin headroom
	python3 tests/accept/anticipate.py

accept-forecasts: ## how well forecasts do on series of real requests in ../shared/traffic, beside naive and Python's libraries
	$(CARGO) build --locked --release --features $(FEATURES) --bin headroom
	python3 tests/accept/forecasts.py

accept-stranger: ## a stranger installs it and stays: tests by line, captures, report, chart, dist
	tests/control-plane/build.sh
	$(CARGO) build --locked --release --features $(FEATURES) --bin headroom
	python3 tests/accept/stranger.py

accept-shaping: ## who is turned away at the front door: a real Envoy at three times capacity, what an answer costs, scenarios (35 min)
	tests/real/setup.sh python envoy
	tests/control-plane/build.sh
	$(CARGO) build --locked --release --features $(FEATURES) --bin headroom --examples
	python3 tests/accept/shaping.py
