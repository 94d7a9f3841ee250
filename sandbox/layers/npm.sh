# shellcheck shell=sh
npm install --global --prefix /usr/local --no-audit --no-fund --no-update-notifier -- "$@"
