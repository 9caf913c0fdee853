# Sourced by scripts/demo and scripts/test: makes .venv if it is missing or out of date.
# Needs Python >= 3.11 with pip and venv; PYTHON=/path/to/python chooses one.

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3.11 python3 python3.12 python3.13 python3.14 python; do
        if [ -n "$candidate" ] && "$candidate" -c \
            'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "error: Python >= 3.11 is needed; set PYTHON=/path/to/python" >&2
    return 1
}

venv_python=.venv/bin/python
stamp=.venv/lxt-like-stamp
wanted=$(cat pyproject.toml constraints.txt | cksum)

if ! { [ -x "$venv_python" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; }; then
    base=$(find_python) || exit 1
    echo "setting up .venv (once; a few minutes) ..." >&2
    rm -rf .venv
    "$base" -m venv .venv || exit 1
    log=$(mktemp)
    # torch first and alone: a pinned request keeps pip from weighing other builds; zennit, which
    # tests compare with, last and alone: it would bring a torchvision
    if ! { "$venv_python" -m pip install --disable-pip-version-check "$(grep '^torch==' constraints.txt)" \
        && "$venv_python" -m pip install --disable-pip-version-check -c constraints.txt -e '.[dev]' \
        && "$venv_python" -m pip install --disable-pip-version-check --no-deps \
            "$(grep '^zennit==' constraints.txt)"; } \
        >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        echo "error: the installation failed; the whole log is $log" >&2
        exit 1
    fi
    rm -f "$log"
    echo "$wanted" >"$stamp"
fi
