# Makes a fresh machine an agent, or ends it: one that does not become an agent would cost money for nothing.
# What is before this line names: minutes, before, package, user, docker, region, machine.
set -euo pipefail
umask 022
export HOME=/root DEBIAN_FRONTEND=noninteractive AWS_DEFAULT_REGION=$region AWS_EC2_METADATA_V1_DISABLED=true
python=/opt/tasktape/bin/python

say() { printf 'tasktape: %s\n' "$*" >&2; }
has() { command -v "$1" >/dev/null; }

trap 'say "line $LINENO failed"' ERR
trap 'say "the machine goes"; shutdown -h now' EXIT
(sleep $((minutes * 60)) && say "no agent after $minutes min" && shutdown -h now) &
patience=$!

# apt's locks are held by others too in a machine's first minutes.
apt_install() {
  local tries
  for tries in 1 2 3 4 5 6; do
    if apt-get update -qq && apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 "$@" >/dev/null; then
      return
    fi
    sleep $((tries * 5))
  done
  say "apt can't install $*"
  return 1
}

is_installed() { "$python" -c 'import boto3, tasktape.scaler.instance' 2>/dev/null; }

install_what_is_missing() {
  local packages=()
  has git || packages+=(git)
  has ssh || packages+=(openssh-client)
  [ -e /etc/ssl/certs/ca-certificates.crt ] || packages+=(ca-certificates)
  [ -z "$docker" ] || has docker || packages+=(docker.io)
  is_installed || python3 -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3 python3-venv)
  [ ${#packages[@]} = 0 ] || apt_install "${packages[@]}"
}

pip_install() { "$python" -m pip install --quiet --disable-pip-version-check "$@"; }

install_tasktape() {
  python3 -m venv /opt/tasktape
  case $package in
    s3://*)
      pip_install boto3
      local folder wheel
      folder=$(mktemp -d)
      wheel=$folder/${package##*/}
      "$python" -c 'import boto3, sys; boto3.client("s3").download_file(*sys.argv[1].split("/", 3)[2:], sys.argv[2])' \
        "$package" "$wheel"
      package="${wheel}[aws]"
      ;;
    *://*) package="tasktape[aws] @ $package" ;;
  esac
  pip_install "$package" uv
}

add_user() {
  id "$user" >/dev/null 2>&1 || useradd --create-home --shell /bin/bash "$user"
  if getent group docker >/dev/null; then usermod --append --groups docker "$user"; fi
}

# After cloud-init: in an image of a former machine the agent would else start before it has been told what it is.
install_unit() {
  cat >/etc/systemd/system/tasktape-agent.service <<UNIT
[Unit]
Description=tasktape agent, and the end of the machine when it leaves
Wants=network-online.target
After=network-online.target cloud-final.service

[Service]
ExecStart=$python -m tasktape.scaler.instance /etc/tasktape/machine.json
ExecStopPost=/bin/sh -c 'exec shutdown -h now'
KillMode=mixed
LimitNOFILE=65536
StandardOutput=journal+console

[Install]
WantedBy=cloud-init.target
UNIT
  systemctl daemon-reload
}

mkdir -p /etc/tasktape
printf '%s\n' "$machine" >/etc/tasktape/machine.json
printf '%s\n' "$before" >/etc/tasktape/before.sh
bash /etc/tasktape/before.sh
install_what_is_missing
is_installed || install_tasktape
add_user
if [ -d /run/systemd/system ]; then
  install_unit
  systemctl enable --quiet --now --no-block tasktape-agent
  trap - EXIT
  kill "$patience"
else
  kill "$patience"
  "$python" -m tasktape.scaler.instance /etc/tasktape/machine.json
fi
