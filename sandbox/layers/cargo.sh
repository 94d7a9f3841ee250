# shellcheck shell=sh
# Debian keeps a current Rust beside its own: without it most crates do not compile.
/usr/bin/apt-get update -qq
/usr/bin/apt-get install --yes -qq --no-install-recommends cargo-web rustc-web \
    || /usr/bin/apt-get install --yes -qq --no-install-recommends cargo rustc
export CARGO_HOME=/root/.cargo
for crate in "$@"; do
    echo "cargo: $crate"
    cargo install --root /usr/local -- "$crate" || { echo "failed package: $crate"; exit 1; }
done
