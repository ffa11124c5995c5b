#!/bin/bash
# mkuml.sh: prints the path of the kernel that test VMs run: a User-Mode Linux, which is an ordinary program, with what
# uml.config lists. It is kept in the user's cache; at first it comes from a ready one that lies beside the project
# (shared/rig/linux-uml-*.xz), and where there is none it is built from Debian's kernel source: 170 MB to download, ten
# minutes on two cores. Debian's own package of it has no pressure figures. Root, on x86-64.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
project=$(cd "$here/../.." && pwd)
suite=forky # its kernel runs guests under seccomp, twenty times faster than ptrace, and on two processors

if [ "$(uname -m)" != x86_64 ]; then
	echo "User-Mode Linux runs on x86-64 only, and this machine is $(uname -m)" >&2
	exit 1
fi

wanted=$(grep -E '^(# )?CONFIG_' "$here/uml.config")
# lacks PROGRAM: prints the lines of uml.config that a kernel was not built with.
lacks() {
	local has
	has=$("$1" --showconfig) || return 1
	grep -vxF "$has" <<<"$wanted" || true
}

cache=${XDG_CACHE_HOME:-$HOME/.cache}/tierd/uml
# What is asked for is part of the name, so a change of it makes a new kernel.
key=$(printf '%s' "$suite $wanted" | sha256sum | cut -c1-12)
kernel=$cache/$key/linux
mkdir -p "$cache/$key"
exec 9>"$cache/lock"
flock 9 # two runs at once: the second waits and finds the work done

# keep PROGRAM: makes it the kernel, if it has what is wanted.
keep() {
	local missing
	missing=$(lacks "$1") || { echo "$1 does not run" >&2; return 1; }
	[ -z "$missing" ] || { echo "$1 was built without: $(tr '\n' ' ' <<<"$missing")" >&2; return 1; }
	mv "$1" "$kernel"
}

if [ ! -x "$kernel" ]; then
	for ready in ${UML_READY:-"$project"/../shared/rig/linux-uml-*.xz}; do
		[ -e "$ready" ] || continue
		xz -dc "$ready" >"$kernel.new"
		chmod +x "$kernel.new"
		if keep "$kernel.new"; then break; fi
		echo "$ready does not do, so a kernel is built" >&2
	done
fi

if [ ! -x "$kernel" ]; then
	echo "building a kernel for test VMs in $cache (once, ten minutes on two cores)" >&2
	"$project/packaging/setup.sh" kernel >&2
	rm -rf "$cache"/tmp.* # of builds that were killed
	tmp=$(mktemp -d -p "$cache")
	trap 'rm -rf "$tmp"' EXIT
	mmdebstrap --quiet --variant=extract --include=linux-source --aptopt='Acquire::Check-Valid-Until "false"' \
		"$suite" "$tmp/debian" >&2
	mkdir "$tmp/source"
	tar -xf "$tmp"/debian/usr/src/linux-source-*.tar.xz -C "$tmp/source" --strip-components=1
	cd "$tmp/source"
	{
		make ARCH=um defconfig
		cat "$here/uml.config" >>.config # the last word on a symbol holds
		make ARCH=um olddefconfig
		make ARCH=um -j"$(nproc)" linux
	} >"$tmp/log" 2>&1 || {
		tail -n 40 "$tmp/log" >&2
		exit 1
	}
	cd "$here"
	keep "$tmp/source/linux"
fi
echo "$kernel"
