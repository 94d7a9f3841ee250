# shellcheck shell=sh
/usr/bin/apt-get update -qq
/usr/bin/apt-get install --yes -qq --no-install-recommends ruby ruby-dev
for gem in "$@"; do
    echo "gem: $gem"
    gem install --no-document --bindir /usr/local/bin "$gem" || { echo "failed package: $gem"; exit 1; }
done
