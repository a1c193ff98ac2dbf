#!/usr/bin/env bash
# What is installed, as a CycloneDX SBOM:  deploy/sbom.sh [FILE]          (default build/sbom.json)
# and whether any of it has a known hole:  deploy/sbom.sh --audit [FILE]  (pip-audit; asks pypi.org for each package)
# The tools live in an environment of their own (build/sbom-tools): what is told is what Wardwave runs with.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
audit=no
if [ "${1-}" = --audit ]; then
  audit=yes
  shift
fi
out="${1:-build/sbom.json}"
tools=build/sbom-tools
wanted=(cyclonedx-bom==7.5.0)
if [ "$audit" = yes ]; then wanted+=(pip-audit==2.10.1); fi
[ -x "$tools/bin/python" ] || "${PYTHON:-python3}" -m venv "$tools"
# 75: try again later. Whoever calls may go on without it; any other failure is one of this script.
timeout 60 "$tools/bin/pip" install --disable-pip-version-check --quiet "${wanted[@]}" || exit 75
mkdir -p "$(dirname "$out")"
# Its own check against the schema takes a minute and tells of the tool, not of us.
"$tools/bin/cyclonedx-py" environment .venv/bin/python --pyproject pyproject.toml --output-reproducible \
  --no-validate --of JSON -o "$out.part"
mv "$out.part" "$out"
if [ "$audit" = yes ]; then
  "$tools/bin/pip-audit" --path .venv/lib/python3*/site-packages --skip-editable
fi
