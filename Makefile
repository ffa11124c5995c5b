# make demo: see it work. make check: every test. Both install what they need (packaging/setup.sh) and say so.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := package

# setup.sh puts Go here when the machine has none that is new enough; PATH's own comes first when it is.
export PATH := $(shell packaging/gopath.sh)

.PHONY: setup demo package lint vmtest check-fast check clean

setup:
	@packaging/setup.sh

demo: setup
	@packaging/demo.sh

# The deb and the rpm, in dist/.
package: setup
	@packaging/build.sh

lint: setup
	@packaging/lint.sh

# The scenarios on a booted systemd; RUN=TestScenarios/upgrade picks one.
RUN ?= .
vmtest: setup
	@packaging/packages.sh
	go test -v -tags vmtest -timeout 20m -run '$(RUN)' ./packaging/vmtest

# What to run while writing: seconds to a minute, no root.
check-fast: setup
	@packaging/check.sh fast

# What CI runs: all of the above with the race detector, the packages, their checkers, and the scenarios on a booted
# systemd. Root; at most 25 minutes on two cores.
check: setup
	@packaging/check.sh

# The scenarios whose coder is a real vLLM for CPU. The first run fetches 3 GiB and keeps 6.5 GB in the user's cache;
# another takes five minutes on two cores, up to twenty when they are busy.
.PHONY: check-vllm
check-vllm: package
	@packaging/vmtest/vllm.sh

clean:
	rm -rf build dist
