#!/bin/sh
# packages.sh: builds what the scenarios install: the packages of this version, alone in dist, and in build/next the same
# with a higher version, to upgrade to.
set -eu
version=$(awk '/^## /{print $2; exit}' CHANGELOG.md)
rm -rf dist build/next
packaging/build.sh "$version"
packaging/build.sh "$version+next" build/next
