#!/usr/bin/env bash
# Tables and figures of all results again, from what is kept, without images and checkpoints.
# Usage: again.sh OUT     (`make results` puts them into build/results)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${1:?"usage: again.sh OUT"}
segdistill=${SEGDISTILL:-segdistill}

find "$here" -type d -name runs | sort | while read -r runs; do
  study=$(dirname "$runs")
  name=${study#"$here"/}
  if [ -f "$study/study.yaml" ]; then
    $segdistill study report "$study" --out "$out/$name"
  else
    $segdistill report "$runs"/* --out "$out/$name"
  fi
done
