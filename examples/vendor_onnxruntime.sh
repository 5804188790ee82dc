#!/bin/sh
# Makes src/platecheck/web/page/vendor again from what Microsoft published: the runtime from
# npm, its licences from PyPI's package of the same version (npm's has none). Then checks the sums
# in vendor/README.md. Needs npm and pip.
#
#   sh examples/vendor_onnxruntime.sh
set -eu
VERSION=1.30.0
vendor=$(cd "$(dirname "$0")/.." && pwd)/src/platecheck/web/page/vendor
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

npm pack --silent "onnxruntime-web@$VERSION" >/dev/null
tar -xzf "onnxruntime-web-$VERSION.tgz"
python3 -m pip download --quiet --no-deps --only-binary :all: "onnxruntime==$VERSION"
python3 -m zipfile -e onnxruntime-*.whl wheel

cp package/dist/ort.wasm.bundle.min.mjs wheel/onnxruntime/LICENSE "$vendor/"
# Gzipped once here, and served so: 14 MB are 3.7. -n leaves the time of day out.
gzip -9 -n -c package/dist/ort-wasm-simd-threaded.wasm >"$vendor/ort-wasm-simd-threaded.wasm.gz"
gzip -9 -n -c wheel/onnxruntime/ThirdPartyNotices.txt >"$vendor/ThirdPartyNotices.txt.gz"

mkdir plain
cp "$vendor/ort.wasm.bundle.min.mjs" "$vendor/LICENSE" plain/
for name in ort-wasm-simd-threaded.wasm ThirdPartyNotices.txt; do
    gzip -dc "$vendor/$name.gz" >"plain/$name"
done
grep -E '^[0-9a-f]{64}  ' "$vendor/README.md" >sums
cd plain && sha256sum -c ../sums
