#!/bin/bash
# guardbench.sh: compares guards against memory pressure in a VM; `make bench-guard` calls it. docs/guard-bench.md says how to
# read what it prints. SCENARIOS, GUARDS, ROUNDS, RESUME and FOR in the environment, as the Makefile describes them. Root.
set -euo pipefail

if [ "$(id -u)" != 0 ]; then
	echo "make bench-guard needs root: it boots a kernel on the machine's own folders" >&2
	exit 1
fi
bin=build/bench-guard/bin
mkdir -p "$bin"
export CGO_ENABLED=0
go build -trimpath -buildvcs=false -ldflags "-s -w" -o "$bin/" ./packaging/guardbench
packaging/program.sh tier-guard "$bin/tier-guard"
go build -trimpath -buildvcs=false -ldflags "-s -w" -o "$bin/init" ./packaging/vmtest/guest
go build -trimpath -buildvcs=false -ldflags "-s -w" -o "$bin/guest" ./packaging/guardbench/guest
gcc -O2 -Wall -Wextra -static -o "$bin/memory" packaging/guardbench/memory/memory.c
kernel=$(packaging/vmtest/mkuml.sh)
layers=$(packaging/guardbench/mkguards.sh | tac | tr '\n' ' ') # the topmost first
flags=()
[ -z "${RESUME:-}" ] || flags+=(-resume)
[ -z "${FOR:-}" ] || flags+=(-for "${FOR}m")
exec "$bin/guardbench" -kernel "$kernel" -layers "$layers" -init "$bin/init" -guest "$bin/guest" -memory "$bin/memory" \
	-tier-guard "$bin/tier-guard" -scenarios "${SCENARIOS:-}" -guards "${GUARDS:-}" -rounds "${ROUNDS:-3}" -doc docs/guard-bench.md "${flags[@]}"
