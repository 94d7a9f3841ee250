#!/bin/sh
# Runs as root inside the new image, after its packages and files are in place.
set -eu

ln -sf ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm
ln -sf ../lib/node_modules/npm/bin/npx-cli.js /usr/local/bin/npx
ln -sf apt-get /usr/local/bin/apt
ln -sf python3 /usr/bin/python

update-ca-certificates >/dev/null 2>&1

useradd --uid 1000 --user-group --create-home --home-dir /home/agent --shell /bin/bash agent
install -d -o agent -g agent /workspace /mnt/session/outputs /mnt/memory
install -d /mnt/session/uploads /run/agentsite /opt/agentsite

# Nothing in a sandbox may raise its rights.
find / -xdev -type f -perm /6000 -exec chmod ug-s {} +

# A proxy of the machine that built this may have a password in it.
sed -i '/Proxy/d' /etc/apt/apt.conf.d/99mmdebstrap 2>/dev/null || :

rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/apt/archives/*.deb \
    /var/cache/debconf/*-old /var/log/*.log /var/log/apt /tmp/* /usr/share/doc/* /usr/share/man/*
