#!/bin/sh
# demo.sh: builds the package and shows it at work in a throw-away system; `make demo` calls it. Root.
set -eu
if [ "$(id -u)" != 0 ]; then
	echo "make demo needs root, to make the namespaces of a throw-away system: sudo make demo" >&2
	exit 1
fi
echo "building the package"
rm -rf build/demo
packaging/build.sh "" build/demo >/dev/null
go build -buildvcs=false -o build/bin/demo ./packaging/demo
exec build/bin/demo -deb "$(echo build/demo/tierd_*.deb)"
