#!/bin/sh
# tools.sh NAME...: builds the named Go programs into build/bin, each at the one version that the project is tried with.
# They are built from modules as they are asked for, so that go.mod lists only what tierd itself is made of.
set -eu

for name; do
	case $name in
	nfpm) module=github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.0 ;;
	gotestsum) module=gotest.tools/gotestsum@v1.13.0 ;;
	staticcheck) module=honnef.co/go/tools/cmd/staticcheck@v0.8.2 ;;
	*)
		echo "tools.sh: no tool is called $name" >&2
		exit 2
		;;
	esac
	stamp=build/bin/.${name}@${module##*@}
	[ -e "$stamp" ] && continue
	echo "building $module"
	rm -f build/bin/."$name"@*
	mkdir -p build/bin
	GOBIN=$PWD/build/bin GOFLAGS= go install "$module"
	touch "$stamp"
done
