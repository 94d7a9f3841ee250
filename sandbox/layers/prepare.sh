# shellcheck shell=sh
# Makes somebody else's image fit for sandboxes: what our own base image has from the start.
missing=""
for program in python3 bash; do command -v "$program" >/dev/null || missing="$missing $program"; done
if [ -n "$missing" ] || [ ! -d /etc/ssl/certs ]; then
    if ! command -v apt-get >/dev/null; then
        echo "the image has no$missing, and no apt-get to install it with"
        exit 1
    fi
    apt-get update -qq
    # shellcheck disable=SC2086
    apt-get install --yes -qq --no-install-recommends ca-certificates $missing
fi
if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "the image's python3 is older than 3.11"
    exit 1
fi
[ -x /usr/bin/python3 ] || ln -s "$(command -v python3)" /usr/bin/python3

mkdir -p /usr/local/share/ca-certificates /usr/local/bin
cp "$here"/certificates/*.crt /usr/local/share/ca-certificates/ 2>/dev/null || :
if command -v update-ca-certificates >/dev/null; then update-ca-certificates >/dev/null 2>&1; fi
cp "$here"/wrappers/* /usr/local/bin/
chmod 755 /usr/local/bin/apt-get /usr/local/bin/sudo
ln -sf apt-get /usr/local/bin/apt

if ! grep -q '^[^:]*:[^:]*:1000:' /etc/passwd; then
    echo 'agent:x:1000:1000::/home/agent:/bin/bash' >>/etc/passwd
fi
if ! grep -q '^[^:]*:[^:]*:1000:' /etc/group; then
    echo 'agent:x:1000:' >>/etc/group
fi
mkdir -p /home/agent /workspace /mnt/session/outputs /mnt/session/uploads /mnt/memory /opt/agentsite
chown 1000:1000 /home/agent /workspace /mnt/session/outputs /mnt/memory
