#!/bin/sh
# lint.sh: lets Debian's and rpm's own checkers look at the packages in dist. An error fails; a warning is shown.
set -eu
lintian --allow-root --fail-on error dist/tierd_*.deb
# Its status counts warnings in some versions, so its own count of errors is read.
out=$(rpmlint -c packaging/rpmlint.toml dist/tierd-*.rpm) || true
echo "$out"
echo "$out" | grep -q '[^0-9]0 errors,'
