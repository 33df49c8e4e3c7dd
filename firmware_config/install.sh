#!/usr/bin/env bash
# Installs seld-edge on Raspberry Pi OS Bookworm or Trixie, or brings it up to date; a second run changes nothing.
#
#   sudo firmware_config/install.sh                 packages from apt and from the registry that pip knows
#   sudo firmware_config/install.sh --wheels DIR    Python packages from a folder of wheels, without a network
#
# It installs packages of the system, a Python environment in /opt/seld-edge/.venv, the service, and the command in
# /usr/local/bin. PyAudio comes from the system, because there are no wheels of it: the environment sees the packages of
# the system. Versions are those of constraints.txt, with which the tests ran; with --wheels, those in the folder. Existing
# settings are kept.
set -euo pipefail
umask 022 # the service runs as an unprivileged user, and must be able to read the installation

readonly PACKAGES=(python3-venv python3-pyaudio alsa-utils)
readonly PARTS=(pyproject.toml constraints.txt README.md LICENSE edge convert bench firmware_config systemd)
readonly PYTHON=${PYTHON:-/usr/bin/python3} # Python of the system: python3-pyaudio is built for it

usage() {
  cat <<TEXT
usage: install.sh [--wheels DIR] [--root DIR] [--no-apt] [--no-service] [--dry-run]

  --wheels DIR   install seld-edge and its dependencies from the wheels in DIR, without a network
  --root DIR     folder to install into (default: /opt/seld-edge)
  --no-apt       do not install packages of the system (${PACKAGES[*]})
  --no-service   install neither the systemd unit nor the command in /usr/local/bin
  --dry-run      print what would be done, and do nothing
TEXT
}

die() {
  echo "install.sh: $*" >&2
  exit 2
}

run() {
  echo "run $*"
  $dry_run || "$@"
}

check_machine() {
  local architecture
  version=$("$PYTHON" -c 'import sys; print(*sys.version_info[:2], sep=".")') ||
    die "got no $PYTHON, wanted Python 3.11 to 3.13"
  case $version in
    3.11 | 3.12 | 3.13) ;;
    *) die "got Python $version in $PYTHON, wanted 3.11 to 3.13: Raspberry Pi OS Bookworm or Trixie" ;;
  esac
  architecture=$(dpkg --print-architecture 2>/dev/null || uname -m)
  if [[ $architecture == armhf ]]; then
    [[ $(uname -m) == armv7l && $version == 3.11 ]] ||
      die "got a 32-bit system with Python $version on $(uname -m), wanted the 64-bit Raspberry Pi OS"
    versions=('numpy<2') # constraints.txt is for the 64-bit system: tflite-runtime, the only runtime for this architecture, does not load with numpy 2
  fi
  if ! $dry_run && [[ $(id -u) != 0 ]] && { $apt || $service; }; then
    die "got user $(id -un), wanted root: sudo $0"
  fi
}

install_packages() {
  local package missing=()
  for package in "${PACKAGES[@]}"; do
    [[ $(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null) == installed ]] ||
      missing+=("$package")
  done
  if ((${#missing[@]} == 0)); then
    echo "keep the packages ${PACKAGES[*]}"
    return
  fi
  [[ -n $wheels ]] || run apt-get update
  run env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "${missing[@]}" ||
    die "got no ${missing[*]} from apt, wanted them; --no-apt continues without them"
}

# Print one line that changes with anything that would be installed.
wanted_state() {
  local sum
  if [[ -n $wheels ]]; then
    sum=$(sha256sum <"$wheel")
  else
    sum=$(cd "$source" && find "${PARTS[@]}" -type f ! -path '*/__pycache__/*' -print0 | LC_ALL=C sort -z |
      xargs -0 sha256sum | sha256sum)
  fi
  echo "${sum%% *} python=$version service=$service"
}

make_environment() {
  if [[ -d $venv/lib/python$version ]] && "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    echo "keep $venv"
  else # there is none, or it belongs to another Python, as after an upgrade of the system
    run "$PYTHON" -m venv --clear --system-site-packages "$venv"
  fi
}

install_python_packages() {
  local pip=("$venv/bin/python" -m pip --disable-pip-version-check --quiet --no-input) from=()
  if [[ -n $wheels ]]; then
    from=(--no-index --find-links "$wheels")
  else
    if ! $dry_run; then
      build=$(mktemp -d)
      trap 'rm -rf "$build"' EXIT
    fi
    ((${#versions[@]})) || versions=(--constraint "$source/constraints.txt")
    run cp -r "${PARTS[@]/#/$source/}" "$build" # pip writes into the folder that it builds from
    run "${pip[@]}" wheel --no-deps --wheel-dir "$build" "$build"
    $dry_run || wheel=$(find "$build" -name 'seld_edge-*.whl')
  fi
  run "${pip[@]}" install --force-reinstall --no-deps "${from[@]}" "${wheel:-seld_edge-*.whl}" # even if the version is the same
  run "${pip[@]}" install "${from[@]}" "${wheel:-seld_edge-*.whl}[mqtt,metrics,page]" "${versions[@]}"
}

dry_run=false apt=true service=true wheels='' wheel='' root=/opt/seld-edge build=BUILD version='' versions=()
while (($#)); do
  case $1 in
    --wheels | --root)
      (($# > 1)) || die "got $1 without a folder, wanted $1 DIR"
      if [[ $1 == --wheels ]]; then wheels=$2; else root=$2; fi
      shift
      ;;
    --no-apt) apt=false ;;
    --no-service) service=false ;;
    --dry-run) dry_run=true ;;
    -h | --help)
      usage
      exit 0
      ;;
    *) die "got $1, wanted one of --wheels DIR, --root DIR, --no-apt, --no-service, --dry-run" ;;
  esac
  shift
done
source=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$root/.venv
if [[ -n $wheels ]]; then
  [[ -d $wheels ]] || die "got no folder $wheels, wanted one with wheels"
  mapfile -t found < <(find "$wheels" -maxdepth 1 -name 'seld_edge-*.whl' | sort --version-sort)
  ((${#found[@]})) || die "got no seld_edge-*.whl in $wheels, wanted one, and the wheels that it depends on"
  wheel=${found[-1]}
elif [[ ! -f $source/pyproject.toml ]]; then
  die "got no sources in $source, wanted them, or --wheels DIR"
fi

check_machine
if $apt; then install_packages; fi
state=$(wanted_state)
if [[ $(cat "$root/.installed" 2>/dev/null) == "$state" && -x $venv/bin/seld-edge ]]; then
  echo "keep $root: nothing to change"
  exit 0
fi
run mkdir -p "$root"
make_environment
install_python_packages
if [[ -f $source/README.md ]]; then run install -m 644 "$source/README.md" "$root/README.md"; fi
if $service; then
  run ln -sfn "$venv/bin/seld-edge" /usr/local/bin/seld-edge
  run "$venv/bin/seld-edge" install-service
fi
$dry_run || echo "$state" >"$root/.installed"
echo "next: seld-edge devices; seld-edge check --array NAME; sudo seld-edge apply --array NAME"
