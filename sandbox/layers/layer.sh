#!/bin/sh
# Runs as root in a build: makes one layer with the script that is named, then tidies up.
set -eu
here=/run/agentsite/build
if [ -f "$here/settings.sh" ]; then . "$here/settings.sh"; fi
export DEBIAN_FRONTEND=noninteractive HOME=/root
umask 022
cd /root 2>/dev/null || cd /

script=$1
shift
. "$here/$script"

# Nothing in a sandbox may raise its rights.
find / -xdev -type f -perm /6000 -exec chmod ug-s {} +
rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/apt/archives/*.deb /var/log/*.log \
    /var/log/apt /root/.cache /root/.npm /root/.cargo /tmp/* /tmp/.[!.]* /var/tmp/*
