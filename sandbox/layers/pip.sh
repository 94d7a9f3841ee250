# shellcheck shell=sh
python3 -m pip install --break-system-packages --root-user-action=ignore --no-cache-dir --no-input \
    --disable-pip-version-check --progress-bar off -- "$@"
