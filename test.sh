#!/usr/bin/env bash
# Runs all tests. On Debian and Ubuntu it first installs what they need and the machine lacks: a C
# linker, and, where there is no Vulkan driver, Mesa's software driver (lavapipe). Arguments go to
# `cargo test`.
set -euo pipefail
cd "$(dirname "$0")"

missing() { ! command -v "$1" >/dev/null 2>&1; }
install() {
    local sudo=''
    [ "$(id -u)" = 0 ] || sudo=sudo
    $sudo apt-get update -qq
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >/dev/null
}
has_driver() {
    [ -n "${VK_ICD_FILENAMES:-}${VK_DRIVER_FILES:-}" ] || compgen -G '/usr/share/vulkan/icd.d/*.json' >/dev/null ||
        compgen -G '/etc/vulkan/icd.d/*.json' >/dev/null
}

if [ "$(uname)" = Linux ]; then
    need=()
    missing cc && need+=(gcc libc6-dev)
    has_driver || need+=(mesa-vulkan-drivers)
    ldconfig -p 2>/dev/null | grep -q libvulkan.so.1 || need+=(libvulkan1)
    if [ ${#need[@]} -gt 0 ]; then
        if missing apt-get; then
            echo "test.sh: please install the equivalents of: ${need[*]}" >&2
            exit 1
        fi
        echo "test.sh: installing ${need[*]}"
        install "${need[@]}"
    fi
fi
if missing cargo; then
    echo "test.sh: no cargo; install Rust from https://rustup.rs" >&2
    exit 1
fi
# The examples in the documentation run with default options; the user's folder is left alone.
export GHOSTNET_CACHE_DIR=
exec cargo test --locked "$@"
