#!/bin/sh
# The main job on rendered dishes, a few minutes from nothing to an answer.
# Called by `make demo`; BIN is where platecheck is installed, DEMO the folder to fill.
set -eu
BIN=${BIN:-.venv/bin}
DEMO=${DEMO:-demo}
platecheck="$BIN/platecheck"

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
run() { printf '\033[2m$ platecheck %s\033[0m\n' "$*"; "$platecheck" "$@"; }

rm -rf "$DEMO"
mkdir -p "$DEMO"
: > "$DEMO/.platecheck-output" # its photos are not to be read as a class of the folder around it

say "1. Render dishes, clean and dirty, on backgrounds that tell nothing"
run data render "$DEMO/dishes" --photos 400 --size 128

say "2. Train TinyVGG on them for a few epochs"
# The reference's rate of 0.01 and its dropout would take dozens of epochs to start learning.
run train tiny_vgg --data "$DEMO/dishes" --out "$DEMO/run" --epochs 8 \
    --set optimizer.lr=0.001 --set network.dropout=0

say "3. Evaluate it on dishes that it has not seen"
run evaluate "$DEMO/run" --data "$DEMO/dishes"

say "4. Write the report"
run report "$DEMO/run"

say "5. Export it as one file that needs no PyTorch"
run export "$DEMO/run" -o "$DEMO/model.onnx"

say "6. Predict the sample photos with the shipped model, which was trained on real photos"
run predict samples

say "Made:"
cat <<EOF
  $DEMO/dishes        400 rendered photos, in splits and classes
  $DEMO/run           the run: recipe, history, curves.png, the weights of every epoch
  $DEMO/run/report.html   open it in a browser: metrics, curves, mistakes, confusion matrix
  $DEMO/model.onnx    the exported model: platecheck predict --model $DEMO/model.onnx PHOTO
EOF
