#!/bin/sh
# vllm.sh: the scenarios with a real vLLM for CPU, on the package that build.sh left in dist. Run from the top of the
# tree, as root. Prints a line for each scenario; four minutes on two idle cores, the most of it vLLM's own starts.
set -eu

packaging/vmtest/mkvllm.sh >/dev/null
mkdir -p build
go test -tags vllm -c -o build/vllm.test ./packaging/vmtest
cd packaging/vmtest
exec ../../build/vllm.test -test.run '^TestVLLM$' -test.timeout 60m
