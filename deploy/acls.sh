#!/usr/bin/env bash
# Sets the ACLs of deploy/acls.txt:  deploy/acls.sh --bootstrap-server HOST:9093 --command-config admin.properties
# The arguments go to Kafka's own kafka-acls.sh, which must be on the PATH.
set -euo pipefail
if (($# == 0)); then
  sed -n '2,3s/^# //p' "$0" >&2
  exit 2
fi
list="$(dirname "${BASH_SOURCE[0]}")/acls.txt"
while read -r account operation resource name; do
  case "$account" in '' | '#'*) continue ;; esac
  pattern=literal
  case "$name" in *'*') pattern=prefixed name="${name%\*}" ;; esac
  # Not the list's own input: kafka-acls.sh would read it.
  kafka-acls.sh "$@" --add --force --allow-principal "User:$account" --operation "$operation" \
    "--$resource" "$name" --resource-pattern-type "$pattern" </dev/null
done <"$list"
