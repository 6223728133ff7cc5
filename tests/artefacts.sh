#!/bin/sh
# Checks what is not Rust: the scripts. (Schema, samples, help texts and state table are checked by `cargo test`.)
set -eu
cd "$(dirname "$0")/.."
.venv/bin/shellcheck tests/artefacts.sh tests/peers/setup.sh .ci/run
.venv/bin/check-jsonschema --check-metaschema config/rollout.schema.json
for rollout in config/rollouts/*.yaml; do
    .venv/bin/check-jsonschema --schemafile config/rollout.schema.json "$rollout"
done
