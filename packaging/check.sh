#!/bin/bash
# check.sh [fast|vm]: runs the tests and says of each step what came of it and how long it took. The output of a step that
# fails is shown; the first failure does not keep later steps from running. fast: what needs no root; vm: the scenarios in
# VMs alone, on a package that it builds.
set -uo pipefail

mode=${1:-all}
logs=build/check
[ "$mode" != vm ] || logs=build/check-vm
rm -rf "$logs"
mkdir -p "$logs"
summary=()
failed=0

step() {
	local name=$1 log="$logs/${1// /-}.log" start=$SECONDS word=ok
	shift
	echo "== $name"
	"$@" >"$log" 2>&1 || word=FAILED
	if [ "$word" = FAILED ]; then
		failed=1
		grep -vE '^(=== | *--- PASS)' "$log"
	fi
	# A test that was skipped is named, so that none is missed without anybody knowing; figures are shown with their goals.
	grep -E '^ *--- SKIP|^bench:' "$log" | sed 's/^/   /' || true
	sed 's/^/   failed once: /' "$logs/flaky-${name%% *}.txt" 2>/dev/null || true
	summary+=("$(printf '%-28s %-7s %4d s' "$name" "$word" $((SECONDS - start)))")
	[ "$word" = ok ]
}

formatted() {
	local files
	files=$(gofmt -l agent cmd units rocm packaging)
	[ -z "$files" ] || { echo "gofmt would change: $files"; return 1; }
}
# everywhere COMMAND...: on all packages, and on those with files behind a tag.
everywhere() {
	"$@" ./... && "$@" -tags vmtest ./packaging/vmtest && "$@" -tags vllm ./packaging/vmtest && "$@" -tags browser ./packaging/browsertest &&
		"$@" -tags opencode ./agent/opencode ./cmd/tierctl && "$@" -tags profile ./cmd/tier-gateway
}
staticcheck() { packaging/tools.sh staticcheck && everywhere build/bin/staticcheck; }
go_vet() { everywhere go vet; }
# Every test is listed, so that skips are seen and counted; the output is shown only when something fails. A test that
# fails alone is run once more: beds and processes share two cores with whatever else runs. It is named all the same.
tests() {
	local name=$1
	shift
	packaging/tools.sh gotestsum || return
	build/bin/gotestsum --format standard-verbose --rerun-fails=1 --rerun-fails-max-failures=2 \
		--rerun-fails-report "$logs/flaky-$name.txt" --packages "$1" -- "${@:2}"
}
go_test() { tests go ./... "$@"; }
# -count=1: a result of another package that was installed is no result.
scenarios() { tests scenarios ./packaging/vmtest -tags vmtest -count=1 -timeout 25m -skip '^TestVM'; }
# The page in a real browser; pictures of it are in build/page.
in_browser() { packaging/setup.sh browser && tests page ./packaging/browsertest -tags browser -count=1 -timeout 5m; }
# What is written for OpenCode, read by the real client, which is fetched once.
real_client() {
	local layer
	layer=$(packaging/vmtest/mkopencode.sh) &&
		TIERD_OPENCODE=$layer/usr/local/bin/opencode tests client "./agent/opencode ./cmd/tierctl" -tags opencode -count=1 -timeout 15m -run RealClient
}
package_alone() { rm -rf dist && packaging/build.sh; }
# None is run again: what must never happen must not happen once.
vm_scenarios() {
	packaging/tools.sh gotestsum || return
	build/bin/gotestsum --format standard-verbose --hide-summary=output --packages ./packaging/vmtest -- \
		-tags vmtest -count=1 -timeout 90m -run '^TestVM'
}
count() { cat "$logs"/*.log | grep -cE "^ *--- $1"; }

# as_root NAME WHY COMMAND: a step that only root can do. Without root it is a failure, since it was left out.
as_root() {
	if [ "$(id -u)" = 0 ]; then
		step "$1" "$3"
	else
		echo "$1: $2, which only root may do" >&2
		summary+=("$(printf '%-28s NOT RUN, needs root' "$1")")
		failed=1
	fi
}

case $mode in
fast | all)
	step "gofmt" formatted
	step "go vet" go_vet
	step "staticcheck" staticcheck
	;;
esac
case $mode in
fast) step "go test" go_test ;;
vm)
	if step "package" package_alone; then
		as_root "scenarios in a VM" "they boot a kernel on the host's folders" vm_scenarios
	fi
	;;
all)
	step "go test -race" go_test -race
	step "page in a browser" in_browser
	step "real OpenCode client" real_client
	if step "package" packaging/packages.sh; then
		step "package checkers" packaging/lint.sh
		as_root "scenarios in a bed" "they boot systemd in namespaces" scenarios
	fi
	;;
*)
	echo "usage: check.sh [fast|vm]" >&2
	exit 2
	;;
esac

echo
printf '%s\n' "${summary[@]}"
echo "$((SECONDS / 60)) min $((SECONDS % 60)) s in all; logs in $logs"
echo "$(count PASS) passed, $((failed ? $(count FAIL) : 0)) failed, $(count SKIP) skipped"
exit $failed
