#!/usr/bin/env bash
# Makes what is given to people from one release binary: an archive, a Debian package, an SBOM, checksums. Linked with
# glibc: a musl allocator costs a columnar engine dearly, and the package says which glibc it needs. `make dist` runs it.
#
#   dist/make.sh [FOLDER]    into FOLDER, or the target folder's `dist`
#
# HEADROOM_BIN names another binary than the release build; SOURCE_DATE_EPOCH dates the files, the commit's time unless set.
# The same binary and date make the same archive and package, byte for byte.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
into=${1:-$target/dist}
built=${HEADROOM_BIN:-$target/release/headroom}
[[ -x $built ]] || { echo "dist: there is no $built; run \`make release\`, or name a binary in HEADROOM_BIN" >&2; exit 2; }
for tool in strip readelf dpkg-deb python3 gzip tar sha256sum; do
    command -v "$tool" >/dev/null || { echo "dist: $tool is missing; on Debian: apt install binutils dpkg python3" >&2; exit 2; }
done
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$root" log -1 --format=%ct 2>/dev/null || echo 0)}
export SOURCE_DATE_EPOCH

version=$("$built" version --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["version"])')
machine=$(uname -m)
case $machine in
x86_64) debian=amd64 ;;
aarch64) debian=arm64 ;;
*) echo "dist: no name for $machine in Debian; add it here" >&2; exit 2 ;;
esac
name=headroom-$version-$machine-linux-gnu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$into"
rm -f "$into"/*

# What both hold, laid out as below /usr.
usr=$work/$name
mkdir -p "$usr"/{bin,share/man/man1,share/bash-completion/completions,share/zsh/vendor-completions} \
    "$usr"/share/{fish/vendor_completions.d,headroom/rules,headroom/deploy,doc/headroom}
strip -o "$usr/bin/headroom" "$built"
"$built" man "$usr/share/man/man1" >/dev/null
gzip --best --no-name "$usr"/share/man/man1/*.1
"$built" completion bash >"$usr/share/bash-completion/completions/headroom"
"$built" completion zsh >"$usr/share/zsh/vendor-completions/_headroom"
"$built" completion fish >"$usr/share/fish/vendor_completions.d/headroom.fish"
for rule in "$root"/rules/*.rhai; do
    [[ $rule == *_test.rhai ]] || cp "$rule" "$usr/share/headroom/rules/"
done
cp -r "$root/deploy/helm" "$root/deploy/kustomize" "$root/deploy/collector" "$usr/share/headroom/deploy/"
"$built" crd >"$usr/share/headroom/deploy/serviceobjectives.yaml"
cp -r "$root/docs" "$usr/share/doc/headroom/docs"
cp "$root/README.md" "$root/SECURITY.md" "$root/CHANGELOG.md" "$root/examples/headroom.yaml" "$usr/share/doc/headroom/"
cp "$root/LICENSE" "$usr/share/doc/headroom/copyright"
chmod -R u=rwX,go=rX "$usr"
find "$usr" -exec touch --no-dereference --date "@$SOURCE_DATE_EPOCH" {} +

tar --create --sort=name --owner=0 --group=0 --numeric-owner --mtime "@$SOURCE_DATE_EPOCH" --directory "$work" "$name" |
    gzip -6 --no-name >"$into/$name.tar.gz"

# The least glibc whose symbols the binary asks for.
glibc=$(readelf --version-info --wide "$built" | grep --only-matching 'GLIBC_[0-9.]*' | sort --unique --version-sort | tail -1)
glibc=${glibc#GLIBC_}

deb=$work/deb
mkdir -p "$deb/DEBIAN" "$deb/usr" "$deb/etc/headroom" "$deb/usr/lib/systemd/system"
cp -r "$usr/." "$deb/usr/"
cp "$root/examples/headroom.yaml" "$deb/etc/headroom/headroom.yaml"
cp "$root/dist/headroom.service" "$deb/usr/lib/systemd/system/"
echo /etc/headroom/headroom.yaml >"$deb/DEBIAN/conffiles"
cat >"$deb/DEBIAN/control" <<EOF
Package: headroom
Version: $version
Architecture: $debian
Maintainer: headroom <headroom@localhost>
Section: admin
Priority: optional
Depends: libc6 (>= $glibc), libgcc-s1
Installed-Size: $(du --summarize --block-size=1024 "$deb/usr" | cut -f1)
Description: finds the bottleneck service from OpenTelemetry traces
 Receives OpenTelemetry traces, names the bottleneck service within seconds, and acts on that service alone, through
 rules, bounds and a journal. After installing it observes nothing yet: systemctl enable --now headroom.
EOF
chmod -R u=rwX,go=rX "$deb"
find "$deb" -exec touch --no-dereference --date "@$SOURCE_DATE_EPOCH" {} +
dpkg-deb --root-owner-group -Zgzip -z6 --build "$deb" "$into/headroom_${version}_$debian.deb" >/dev/null

python3 "$root/dist/sbom.py" "$built" >"$into/headroom-$version.cdx.json"
(cd "$into" && sha256sum -- * >SHA256SUMS)
echo "binary $(stat --format=%s "$usr/bin/headroom") bytes, stripped; glibc $glibc or later"
(cd "$into" && stat --format='%s bytes  %n' -- *)
