#!/bin/bash
# bench.sh [ARG...]: measures the gateway beside nginx and beside no proxy at all; the arguments go to packaging/bench.
# docs/bench.md says how to read what it prints. Figures fail nothing, wrong answers do.
set -euo pipefail

nginx=$(packaging/bench/nginx.sh)
# As packaging/build.sh builds it.
CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w" -o build/bench/tier-gateway ./cmd/tier-gateway
CGO_ENABLED=0 go build -trimpath -buildvcs=false -o build/bench/bench ./packaging/bench
build/bench/bench -gateway build/bench/tier-gateway -nginx "$nginx" "$@"
