#!/bin/bash
# setup.sh [kernel|browser|opencode]: installs what building and testing tierd need and the machine lacks, and says what and why.
# Debian 12 or newer, or Ubuntu, as root; otherwise it says what to install. Prints nothing when nothing is missing. With
# "kernel" it adds what only the build of the VMs' kernel needs, with "browser" what looks at the gateway's page, with "opencode"
# what fetches that client.
set -euo pipefail

go_wanted=1.26
toolchain=golang.org/toolchain@v0.0.1-go1.26.8
cache=${XDG_CACHE_HOME:-$HOME/.cache}/tierd

# program or file, package, what for
needs=(
	"git git 'to know the version'"
	"mmdebstrap mmdebstrap 'to make the tree that test beds boot'"
	"/usr/share/keyrings/debian-archive-keyring.gpg debian-archive-keyring 'to check what that tree is made of'"
	"nsenter util-linux 'to run commands in a bed'"
	"pip3 python3-pip 'to fetch the small model'"
	"rpm rpm 'to read the rpm package'"
	"lintian lintian 'to check the deb package'"
	"rpmlint rpmlint 'to check the rpm package'"
	"gcc gcc 'for the race detector and for make bench-guard'"
	"/usr/include/stdio.h libc6-dev 'for the race detector and for make bench-guard'"
	"unzip unzip 'to unpack the Go toolchain'"
	"curl curl 'to talk to tiers'"
	"mke2fs e2fsprogs 'to make the disk of a test VM'"
	"dbus-daemon dbus-daemon 'to test desktop notifications'"
	"xz xz-utils 'to unpack its kernel'"
)
if [ "${1:-}" = kernel ]; then
	needs+=(
		"make make 'to build a kernel'"
		"flex flex 'to build a kernel'"
		"bison bison 'to build a kernel'"
		"bc bc 'to build a kernel'"
		"ld binutils 'to build a kernel'"
	)
fi
if [ "${1:-}" = opencode ]; then
	needs+=(
		"npm npm 'to fetch the OpenCode client'"
		"openssl openssl 'to check what was fetched'"
	)
fi
# Any browser of that kind will do; Ubuntu has none as a package.
if [ "${1:-}" = browser ] && ! command -v chromium google-chrome chromium-browser >/dev/null; then
	needs+=("chromium chromium 'to look at the page of the gateway'")
fi

good_go() {
	local have
	have=$("$1" env GOVERSION 2>/dev/null) || return 1
	have=${have#go}
	[ "$(printf '%s\n' "$go_wanted" "$have" | sort -V | head -1)" = "$go_wanted" ]
}

packages=()
for need in "${needs[@]}"; do
	eval "set -- $need"
	if [[ $1 == /* ]]; then [ -e "$1" ] && continue; else command -v "$1" >/dev/null && continue; fi
	packages+=("$2")
	echo "missing: $2, $3"
done
go_missing=
if ! { command -v go >/dev/null && GOTOOLCHAIN=local good_go go; } && ! good_go "$cache/go/bin/go"; then
	go_missing=yes
	echo "missing: Go $go_wanted or newer, to build; it goes to $cache/go"
	command -v go >/dev/null || packages+=(golang-go)
fi

if [ ${#packages[@]} -gt 0 ]; then
	if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
		echo "install these first: ${packages[*]}" >&2
		exit 1
	fi
	echo "installing: ${packages[*]}"
	export DEBIAN_FRONTEND=noninteractive
	log=$(mktemp)
	apt-get update -qq >"$log" 2>&1 && apt-get install -y -qq --no-install-recommends "${packages[@]}" >>"$log" 2>&1 || {
		cat "$log" >&2
		exit 1
	}
	rm -f "$log"
fi

if [ -n "$go_missing" ]; then
	# The distribution's Go, however old, can fetch the newer toolchain, which is a module like any other.
	platform=$(go env GOOS)-$(go env GOARCH)
	echo "fetching $toolchain.$platform"
	tmp=$(mktemp -d)
	answer=$(cd "$tmp" && GOFLAGS=-modcacherw GOTOOLCHAIN=local go mod download -json "$toolchain.$platform") || {
		echo "cannot fetch the Go toolchain: $answer" >&2
		exit 1
	}
	zip=$(sed -n 's/^\t"Zip": "\(.*\)",$/\1/p' <<<"$answer")
	rm -rf "$cache/go.new" "$cache/go"
	mkdir -p "$cache/go.new"
	unzip -q "$zip" -d "$tmp"
	mv "$tmp/$toolchain.$platform"/* "$cache/go.new/"
	# A module's files carry no modes.
	chmod +x "$cache"/go.new/bin/* "$cache"/go.new/pkg/tool/*/*
	mv "$cache/go.new" "$cache/go"
	rm -rf "$tmp"
fi
