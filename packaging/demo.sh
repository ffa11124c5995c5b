#!/bin/sh
# demo.sh: builds the package and shows it at work in a throw-away system; `make demo` calls it. Root.
set -eu
if [ "$(id -u)" != 0 ]; then
	echo "make demo needs root, to make the namespaces of a throw-away system: sudo make demo" >&2
	exit 1
fi
echo "building the package"
rm -rf build/demo
mkdir -p build/demo
# Quiet unless it fails: on a new machine there is much to fetch.
{ packaging/build.sh "" build/demo && go build -buildvcs=false -o build/bin/demo ./packaging/demo; } >build/demo/log 2>&1 || {
	cat build/demo/log >&2
	exit 1
}
exec build/bin/demo -deb "$(echo build/demo/tierd_*.deb)"
