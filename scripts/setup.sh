#!/usr/bin/env bash
# Installs the Debian packages that the build needs and that are missing. Running it again does nothing.
# With 'test' also those that only tests need: NumPy, which runs the cells of exported notebooks.
set -euo pipefail

packages=(pkg-config libsqlite3-dev zlib1g-dev libssl-dev libhdf5-dev libopenblas-dev liblapacke-dev libarchive-dev
    libpng-dev libjpeg-dev)
if [ "${1:-}" = test ]; then packages+=(python3 python3-numpy); fi

if ! command -v swift >/dev/null 2>&1; then
    echo "setup: no 'swift' on PATH; install Swift 6.1 or newer (swift.org/install) and run this again" >&2
    exit 1
fi
if ! command -v dpkg-query >/dev/null 2>&1; then
    echo "setup: not a Debian system; install these libraries with your package manager: ${packages[*]}" >&2
    exit 1
fi

missing=()
for package in "${packages[@]}"; do
    state=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
    # pkgconf takes the place of pkg-config on newer systems.
    if [ "$state" != installed ] && ! { [ "$package" = pkg-config ] && command -v pkg-config >/dev/null; }; then
        missing+=("$package")
    fi
done
if [ ${#missing[@]} -eq 0 ]; then
    exit 0
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
        echo "setup: these Debian packages are missing: ${missing[*]}" >&2
        echo "setup: not root and no sudo; run as root: apt-get install ${missing[*]}" >&2
        exit 1
    fi
    as_root=(sudo)
fi

echo "setup: installing ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -qq >&2
"${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
