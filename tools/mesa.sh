#!/usr/bin/env bash
# Runs a program on the software Vulkan of another Debian suite, or on Chromium's, and leaves this machine as it is:
#
#   tools/mesa.sh trixie target/release/wgrad doctor        Mesa 25.0; `sid` has the newest
#   tools/mesa.sh swiftshader target/release/wgrad doctor   SwiftShader, from trixie's package of Chromium
#   LP_NATIVE_VECTOR_WIDTH=128 tools/mesa.sh ...            four lanes; 512 for sixteen
#
# Debian's packages are downloaded once and unpacked into $WGRAD_MESA, or ~/.cache/wgrad-mesa: about 600 MB a suite. The
# program starts by the loader and the libraries of that folder, so it needs no root. For x86_64 and aarch64; it takes
# Debian's apt, with its keyring (debian-archive-keyring) and a mirror in its sources.
set -euo pipefail
driver=${1:?a suite of Debian or swiftshader}; program=${2:?a program}; shift 2
suite=$driver; packages=(mesa-vulkan-drivers)
if [ "$driver" = swiftshader ]; then suite=trixie; packages=(chromium); fi
folder=${WGRAD_MESA:-${XDG_CACHE_HOME:-$HOME/.cache}/wgrad-mesa}/$driver
if [ ! -e "$folder/ready" ]; then
    mkdir -p "$folder"/apt/{lists/partial,archives/partial} "$folder/root"
    : >"$folder/apt/status"
    # Debian's own archive, without security updates.
    mirror=$(apt-get indextargets --format '$(ORIGIN) $(REPO_URI)' | sed -n 's/^Debian //p' | grep -v security | head -1 || true)
    key=/usr/share/keyrings/debian-archive-keyring.gpg
    echo "deb [signed-by=$key] ${mirror:?no mirror in the sources of apt} $suite main" >"$folder/apt/sources.list"
    apt=(apt-get -q -y -o "Dir::State=$folder/apt" -o "Dir::State::status=$folder/apt/status" -o "Dir::Cache=$folder/apt"
        -o "Dir::Etc::SourceList=$folder/apt/sources.list" -o Dir::Etc::SourceParts=- -o Dir::Etc::PreferencesParts=-
        -o APT::Sandbox::User= -o APT::Install-Recommends=false)
    "${apt[@]}" update >&2
    "${apt[@]}" install --download-only "${packages[@]}" libvulkan1 libstdc++6 >&2
    for package in "$folder"/apt/archives/*.deb; do dpkg-deb -x "$package" "$folder/root"; done
    rm -r "$folder/apt"
    touch "$folder/ready"
fi
found() { find "$folder/root" -name "$1" -print -quit; }
libraries=$(dirname "$(found 'libc.so.6')")
vulkan=$(found 'libvulkan_lvp.so')
if [ "$driver" = swiftshader ]; then vulkan=$(found 'libvk_swiftshader.so'); fi
icd=$folder/icd.json
echo "{\"file_format_version\": \"1.0.0\", \"ICD\": {\"library_path\": \"$vulkan\", \"api_version\": \"1.3.0\"}}" >"$icd"
VK_DRIVER_FILES=$icd exec "$(found 'ld-linux-*.so.?')" --library-path "$libraries" "$program" "$@"
