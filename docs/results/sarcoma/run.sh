#!/usr/bin/env bash
# Three teachers, a light H-DenseFormer alone and by teach_former, three seeds each, on the sarcoma PET/CT/MR set.
# Usage: SEGDISTILL_DATA=FOLDER ./run.sh OUT     (resumes where it was interrupted)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${1:?"usage: run.sh OUT"}
export OMP_WAIT_POLICY=PASSIVE SEGDISTILL_STORE=$out/preprocessed
data="data.path=${SEGDISTILL_DATA:?"the folder that holds Dataset101_SarcomaPETCTMR"}/Dataset101_SarcomaPETCTMR"
shared=("$here/protocol.yaml" "$data" "data.splits.file=$here/splits.json")
light="student={preset: s1}"
segdistill=${SEGDISTILL:-segdistill}

one() { # name command recipe... : train, or go on, unless it is finished
  local name=$1; shift
  [ -f "$out/$name/metrics.json" ] && return 0
  $segdistill "$@" "${shared[@]}" --out "$out/$name" --resume --no-report
  $segdistill evaluate "$out/$name" > /dev/null
}
one h_denseformer train student_alone "student={type: h_denseformer, filters: 16}"
one unetr train student_alone "student={type: unetr, hidden_size: 384, mlp_size: 1536, heads: 6}"
one swin_unetr train student_alone "student={type: swin_unetr, feature_size: 12, window: 4, unused_stage: false}"
for seed in 0 1 2; do
  one "alone_$seed" train student_alone "$light" train.seed=$seed
  one "teach_former_$seed" distill teach_former "$light" train.seed=$seed teachers.h_denseformer.run="$out/h_denseformer" \
    teachers.swin_unetr.run="$out/swin_unetr" teachers.unetr.run="$out/unetr"
done
$segdistill report "$out"/teach_former_? "$out"/alone_? "$out"/h_denseformer "$out"/swin_unetr "$out"/unetr --out "$out/report"
"$here/../keep.sh" "$out" "$here"
