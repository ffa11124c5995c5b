#!/bin/bash
# bench.sh: measures the gateway beside nginx and beside no proxy at all, and what it costs that requests start tiers.
# docs/bench.md says how to read what it prints. Figures fail nothing, wrong answers do. PARTS, ROUNDS and PROFILE in the
# environment, as the Makefile describes them.
set -euo pipefail

parts=${PARTS:-data memory abuse start}
log=build/bench/log
mkdir -p build/bench
: >"$log"
status=0

# Its figures are shown at the end, with all others.
step() { "$@" | tee -a "$log" | sed '/^bench:/d; /^===/d' || status=1; }

bed() {
	if [ "$(id -u)" != 0 ]; then
		echo "starts: NOT RUN, only root can boot a bed" >&2
		return 1
	fi
	go test -count=1 -v -tags vmtest -timeout 10m -run '^TestGatewayStartsQuickly$' ./packaging/vmtest
}

CGO_ENABLED=0 go build -trimpath -buildvcs=false -o build/bench/bench ./packaging/bench
nginx=$(packaging/bench/nginx.sh)
if [ -n "${PROFILE:-}" ]; then
	CGO_ENABLED=0 go build -tags profile -o build/bench/tier-gateway ./cmd/tier-gateway
	exec build/bench/bench -gateway build/bench/tier-gateway -nginx "" -profiles build/bench
fi
if [[ " $parts " == *" start "* ]]; then
	packaging/packages.sh >build/bench/packages.log 2>&1 || { cat build/bench/packages.log >&2; exit 1; }
	cp "build/stage-$(awk '/^## /{print $2; exit}' CHANGELOG.md)/bin/tier-gateway" build/bench/
	step bed
else
	# As packaging/build.sh builds it.
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w" -o build/bench/tier-gateway ./cmd/tier-gateway
fi
[ "$parts" = start ] || step build/bench/bench -gateway build/bench/tier-gateway -nginx "$nginx" -parts "$parts" -rounds "${ROUNDS:-6}"

echo
grep '^bench:' "$log" || true
exit $status
