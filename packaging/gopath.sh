#!/bin/sh
# gopath.sh: prints PATH with the Go in front that setup.sh fetched; it did so only on a machine whose own was too old.
dir=${XDG_CACHE_HOME:-$HOME/.cache}/tierd/go/bin
if [ -x "$dir/go" ]; then
	echo "$dir:$PATH"
else
	echo "$PATH"
fi
