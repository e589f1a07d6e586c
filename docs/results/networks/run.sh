#!/usr/bin/env bash
# What every network costs at one size, with pictures, and which can be exported: run.sh OUT [export]
# About half an hour on two CPU cores that do nothing else; `export` takes as long again and needs pip install '.[export]'.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=${1:?name a folder for the results}
mkdir -p "$out"

segdistill cost all --size 64,64,64 --channels 1 --repeats 10 --json --overwrite --plot "$out/price-3d.png" > "$out/cost-3d.json"
segdistill cost all --size 256,256 --channels 1 --repeats 10 --json --overwrite --plot "$out/price-2d.png" > "$out/cost-2d.json"
count() { # file, then what to count: as the papers did
  local file=$1; shift
  segdistill cost "$@" --count-only --json > "$out/$file"
}
count published-3d.json t1 t2 t3 s1 s2 s3 transbts h_denseformer_16 --size 144,144,144 --channels 2
count published-2d.json t1 t2 t3 s1 s2 s3 mdvit h_denseformer_12 --size 384,384 --channels 3
count published-hlfd.json unet_plus_plus resnet18_student --size 384,384 --channels 1
count published-missu.json missu --size 128,128,128 --channels 2
if [[ ${2:-} == export ]]; then
    python "$here/export.py" "$out/export.json"
fi
