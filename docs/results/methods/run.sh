#!/usr/bin/env bash
# A first look: five methods against the same student alone, on two sets, one seed, a small budget. A sanity check, no comparison.
# Teachers have a longer budget than students. Usage: SEGDISTILL_DATA=FOLDER ./run.sh OUT [SET]    (resumes where it stopped)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=${1:?"usage: run.sh OUT [ulcer|hippocampus]"}
export OMP_WAIT_POLICY=PASSIVE SEGDISTILL_STORE=$root/preprocessed
: "${SEGDISTILL_DATA:?"the folder that holds Task04_Hippocampus and FootUlcer"}"
segdistill=${SEGDISTILL:-segdistill}
light="student={type: unet, channels: [8, 16, 32, 32, 32]}"

one() { # name command words... : train, or go on, unless it is finished
  local name=$1; shift
  [ -f "$out/$name/metrics.json" ] && return 0
  $segdistill "$@" --out "$out/$name" --resume --no-report
  $segdistill evaluate "$out/$name" > /dev/null
}

study() { # set folder patch-for-hlfd epochs-of-teachers [without-images]
  local set=$1 folder=$2 patch=$3 longer="train.epochs=$4"
  out=$root/$set
  local words=("$here/$set.yaml" "data.path=$SEGDISTILL_DATA/$folder")
  one teacher train student_alone "${words[@]}" "$longer" "student={type: unet, channels: [24, 48, 96, 96, 96]}"
  one alone train student_alone "${words[@]}" "$light"
  for method in hinton cwd attention_transfer; do
    one $method distill $method "${words[@]}" "$light" "teachers.teacher.run=$out/teacher"
  done
  one swin_unetr train student_alone "${words[@]}" "$longer" "student={type: swin_unetr, feature_size: 12, window: 4}"
  one h_denseformer train student_alone "${words[@]}" "$longer" "student={type: h_denseformer, filters: 16, depth: 12}"
  one teach_former distill teach_former "${words[@]}" "$light" teachers.unetr=null "teachers.unet.run=$out/teacher" \
    "teachers.swin_unetr={run: $out/swin_unetr}" "teachers.h_denseformer={run: $out/h_denseformer}"
  # HLFD names stages of its own two networks, whose strides ask for sides divisible by 32.
  words+=("data.patch_size=$patch")
  one unet_plus_plus train student_alone "${words[@]}" "student={type: unet_plus_plus, filters: 12}"
  one resnet_alone train student_alone "${words[@]}" "student={type: resnet, filters: 16}"
  one hlfd distill hlfd "${words[@]}" "student={type: resnet, filters: 16}" \
    "teachers.unet_plus_plus={run: $out/unet_plus_plus}" evaluate.threshold=null
  $segdistill report "$out"/{hinton,cwd,attention_transfer,teach_former,hlfd,alone,resnet_alone} --out "$out/report"
  $segdistill gradcam "$out"/{teacher,alone,hinton,unet_plus_plus,hlfd} --stage decoder/last --out "$out/report/figures/overlay-grad-cam.png" --overwrite
  "$here/../keep.sh" "$out" "$here/$set" "${5:-}"
}
[[ ${2:-ulcer} != ulcer ]] || study ulcer FootUlcer '[128, 128]' 25 without-images
[[ ${2:-hippocampus} != hippocampus ]] || study hippocampus Task04_Hippocampus '[32, 64, 32]' 12
