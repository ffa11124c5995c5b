#!/bin/sh
# program.sh NAME FILE [VERSION]: builds cmd/NAME into FILE as it is shipped. Static, since a tier's unit may hide nearly all of
# the file system from it; no version control stamp, since a clone that another user owns must build too.
set -eu
name=$1 file=$2 version=${3:-}
link="-s -w"
[ -z "$version" ] || link="$link -X main.version=$version"
set --
# What tier-guard has is locked in memory, and half of that is the program itself. What does not run at each look is smaller
# without inlining, and functions that begin anywhere take less room than aligned ones: 100 KiB less.
if [ "$name" = tier-guard ]; then
	link="$link -funcalign=1"
	set -- -gcflags=all=-l -gcflags=runtime= -gcflags=golang.org/x/sys/unix= \
		-gcflags=github.com/tierd/tierd/agent/guard= -gcflags=github.com/tierd/tierd/cmd/tier-guard=
fi
CGO_ENABLED=0 exec go build -trimpath -buildvcs=false -ldflags "$link" "$@" -o "$file" "./cmd/$name"
