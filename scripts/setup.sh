#!/usr/bin/env bash
# Sets up what `make` needs on a machine that has Python and nothing else:
#   setup.sh venv EXTRAS STAMP   the virtual environment .venv with tasktape[EXTRAS], pinned by constraints.txt
#   setup.sh tools NAME…         java, mvn, chromium, spin … (Debian packages, where apt is allowed)
# What can't be set up is said in one line, with what to do.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*" >&2; }

may_install() { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }

# apt_install WHAT PACKAGE…: WHAT is for the message only.
apt_install() {
  local what=$1
  shift
  if ! command -v apt-get >/dev/null || ! may_install; then
    say "missing: $what. Install it (Debian: apt-get install $*) and run make again."
    return 1
  fi
  say "installing $* …"
  { as_root apt-get update -qq && DEBIAN_FRONTEND=noninteractive as_root apt-get install -y -qq --no-install-recommends "$@"; } \
    >/dev/null 2>"${TMPDIR:-/tmp}/tasktape-apt.$$" || {
    say "missing: $what. apt-get install $* failed: $(tail -n 1 "${TMPDIR:-/tmp}/tasktape-apt.$$")"
    return 1
  }
}

find_python() {
  local candidate
  for candidate in "${PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11; do
    if [ -n "$candidate" ] && "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null; then
      printf '%s' "$candidate"
      return
    fi
  done
  say "missing: Python 3.11 to 3.14. Install one, or name it: make PYTHON=/path/to/python3"
  return 1
}

setup_venv() {
  local extras=$1 stamp=$2 python
  python=$(find_python)
  if [ ! -x .venv/bin/python ] || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    "$python" -c 'import ensurepip' 2>/dev/null || apt_install "Python's venv module" python3-venv
    "$python" -m venv --clear .venv
  fi
  say "installing tasktape[$extras] into .venv …"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt uv
  .venv/bin/python -m uv pip install --system-certs --quiet --compile-bytecode --python .venv/bin/python -c constraints.txt -e ".[$extras]"
  mkdir -p .typing
  ln -sfn .. .typing/tasktape
  touch "$stamp"
}

setup_tool() {
  case $1 in
    java) command -v java >/dev/null || apt_install "Java 17 (for Apache Kafka)" openjdk-17-jre-headless ;;
    mvn) command -v mvn >/dev/null || apt_install "Maven (for Apache Kafka's jars)" maven ;;
    chromium) command -v chromium >/dev/null || apt_install "Chromium (for the dashboard's tests)" chromium ;;
    spin) command -v spin >/dev/null && command -v gcc >/dev/null || apt_install "Spin and gcc (for the model)" spin gcc libc6-dev ;;
    machine)
      { command -v debootstrap && command -v ip && command -v setpriv; } >/dev/null ||
        apt_install "debootstrap and iproute2 (for a machine that boots)" debootstrap iproute2 util-linux
      ;;
    docker-compose) command -v docker-compose >/dev/null || apt_install "docker-compose (checks compose.yaml)" docker-compose ;;
  esac
}

case ${1:-} in
  venv) setup_venv "$2" "$3" ;;
  tools)
    shift
    status=0
    for tool in "$@"; do setup_tool "$tool" || status=1; done
    exit $status
    ;;
  *)
    say "usage: scripts/setup.sh venv EXTRAS STAMP | tools NAME…"
    exit 2
    ;;
esac
