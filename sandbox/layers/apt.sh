# shellcheck shell=sh
# Debian's own way: `name` or `name=version`.
/usr/bin/apt-get update -qq
/usr/bin/apt-get install --yes --no-install-recommends --option Dpkg::Use-Pty=0 -- "$@"
