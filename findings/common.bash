# Sourced by every finding: a temporary folder with a virtual environment of its own, and a comparison.
set -euo pipefail
FOLDER=$(mktemp -d)
trap 'rm -rf "$FOLDER"' EXIT
cd "$FOLDER"
export ORT_DISABLE_TELEMETRY=1 PIP_DISABLE_PIP_VERSION_CHECK=1

# with PACKAGE==VERSION …: a Python with exactly these; the variable PYTHON names it.
with() {
  local venv
  venv=$(mktemp -d "$FOLDER/venv.XXXX")
  "${FINDINGS_PYTHON:-python3}" -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet "$@" >"$FOLDER/pip.log" 2>&1 || { tail -n 3 "$FOLDER/pip.log"; exit 77; }
  PYTHON=$venv/bin/python
}

# skip REASON: what is needed is not here.
skip() {
  echo "skipped: $*"
  exit 77
}

# seen <<'…': compares the file `out` with what was seen when this was written.
seen() {
  cat >expected
  diff --label "seen then" --label "seen now" -u expected out
}
