# shellcheck shell=sh
# The environment's own script: by its first line where that names an interpreter.
cd /workspace
cp "$here/text" /tmp/setup-script
chmod 700 /tmp/setup-script
if [ "$(head -c 2 /tmp/setup-script)" = "#!" ]; then
    /tmp/setup-script
else
    bash -e /tmp/setup-script
fi
chown -R 1000:1000 /workspace /home/agent
