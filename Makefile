# make demo: see it work. make check: every test. Both install what they need (packaging/setup.sh) and say so.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := package

# setup.sh fetches a Go when the machine has none that is new enough, so where it is can be told only in the recipes.
go_path = PATH="$$(packaging/gopath.sh)"

.PHONY: setup demo package lint vmtest check-fast check bench clean

setup:
	@packaging/setup.sh

demo: setup
	@$(go_path) packaging/demo.sh

# The deb and the rpm, in dist/.
package: setup
	@$(go_path) packaging/build.sh

lint: setup
	@$(go_path) packaging/lint.sh

# The scenarios on a booted systemd; RUN=TestScenarios/upgrade picks one, RUN=TestVMServes one in a VM. Left out: all in
# namespaces.
RUN ?= ^Test[^V]
vmtest: setup
	@$(go_path) packaging/packages.sh
	$(go_path) go test -count=1 -v -tags vmtest -timeout 60m -run '$(RUN)' ./packaging/vmtest

# What to run while writing: seconds to a minute, no root.
check-fast: setup
	@$(go_path) packaging/check.sh fast

# What CI runs: all of the above with the race detector, the packages, their checkers, and the scenarios on a booted
# systemd. Root; at most 25 minutes on two cores.
check: setup
	@$(go_path) packaging/check.sh

# The scenarios in a VM that has a memory controller, pressure figures and an OOM killer of its own. The first run needs a
# kernel (packaging/vmtest/mkuml.sh), which takes ten minutes where it has to be built; another takes about forty-five, of which
# two tests take MINUTES each and one NOISE minutes. Root, on x86-64.
.PHONY: check-vm
MINUTES ?= 10
NOISE ?= 3
check-vm: setup
	@$(go_path) TIERD_VM_MINUTES=$(MINUTES) TIERD_VM_NOISE=$(NOISE) packaging/check.sh vm

# The scenarios whose coder is a real vLLM for CPU. The first run fetches 3 GiB and keeps 6.5 GB in the user's cache;
# another takes five minutes on two cores, up to twenty when they are busy.
.PHONY: check-vllm
check-vllm: package
	@$(go_path) packaging/vmtest/vllm.sh

# The gateway beside nginx and beside no proxy at all, in memory and under abuse, and what it costs that requests start
# tiers: tables, then a line a figure with its goal (docs/bench.md). Root; on two cores about five minutes, in which nothing
# else should run. PARTS='data memory' leaves the rest out and needs no root; PROFILE=1 writes CPU profiles of the gateway.
bench: export PARTS := $(or $(PARTS),data memory abuse start)
bench: export ROUNDS := $(or $(ROUNDS),6)
bench: export PROFILE := $(PROFILE)
bench: setup
	@$(go_path) packaging/bench.sh

# tier-guard beside the kernel alone, earlyoom, systemd-oomd and nohang, each on the same fourteen scenarios in one VM: a
# table, then a line a figure with its goal, both written to docs/guard-bench.md. Root, on x86-64, about an hour on two cores, in
# which nothing else should run. SCENARIOS='a d', GUARDS='none tier-guard' and ROUNDS=1 run less and write no document;
# FOR=5 (minutes) begins no run after so long, and RESUME=1 goes on where the last one stopped.
.PHONY: bench-guard
bench-guard: export SCENARIOS := $(SCENARIOS)
bench-guard: export GUARDS := $(GUARDS)
bench-guard: export ROUNDS := $(or $(ROUNDS),3)
bench-guard: export FOR := $(FOR)
bench-guard: export RESUME := $(RESUME)
bench-guard: setup
	@$(go_path) packaging/guardbench.sh

clean:
	rm -rf build dist
