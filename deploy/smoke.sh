#!/usr/bin/env bash
# Smoke test of the binary against a live Temporal server: runs one worker in a project of its own,
# changes its files, sends it an event, and checks after each step what Temporal holds. The worker is
# never restarted. At the end, the project is removed. ALMANAC_* of the environment is ignored: the
# flags of your worker, `--auth`, webhooks and NATS are not tested.
#
#   deploy/smoke.sh [PATH OF ALMANAC]
#
# Temporal's address and credentials come from the environment, as for every command of Almanac:
# TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TEMPORAL_API_KEY, TEMPORAL_TLS_*. SMOKE_PORT is the port on
# 127.0.0.1 that the worker listens on (default 18080), SMOKE_TIMEOUT the number of seconds that
# each check may take (default 60).
set -euo pipefail

almanac=${1:-almanac}
timeout=${SMOKE_TIMEOUT:-60}
folder=$(mktemp -d)
# Nothing of this environment but the connection to Temporal.
for name in $(compgen -e ALMANAC_ || true); do unset "$name"; done
export ALMANAC_PROJECT="smoke-$(date +%s)-$$"
export ALMANAC_URL="http://127.0.0.1:${SMOKE_PORT:-18080}"
export ALMANAC_LOG=warn
mkdir "$folder/definitions"
worker=

say() { printf '%s\n' "$*"; }

fail() {
  say "FAILED: $*" >&2
  [ ! -s "$folder/worker.log" ] || { say "the worker's log:"; tail -n 30 "$folder/worker.log"; } >&2
  exit 1
}

# Removes the project's schedules, ends the worker, and removes the folder.
clean_up() {
  status=$?
  trap - EXIT
  if [ -n "$worker" ] && kill "$worker" 2>/dev/null; then wait "$worker" || true; fi
  if digest=$("$almanac" destroy 2>&1 | sed -n 's/.*--confirm \([0-9a-f]*\).*/\1/p' | tail -n 1) && [ -n "$digest" ]; then
    "$almanac" destroy --confirm "$digest" >/dev/null || say "cannot remove project $ALMANAC_PROJECT" >&2
  fi
  rm -rf "$folder"
  exit "$status"
}
trap clean_up EXIT

# definition ID ENABLED CRON: the one definition with a schedule, in whatever file.
definition() {
  cat <<YAML
id: $1
enabled: $2
schedule: { cron: '$3', timezone: UTC }
workflow: { type: Smoke, task_queue: nobody-takes-this-queue }
YAML
}

# put FILE: writes a definition from standard input at once, so that no half file is read.
put() {
  cat >"$folder/next"
  mv "$folder/next" "$folder/definitions/$1"
}

# expect WHAT PATTERN COMMAND...: waits until the command's output matches.
expect() {
  local what=$1 pattern=$2 end=$((SECONDS + timeout)) output
  shift 2
  while true; do
    kill -0 "$worker" 2>/dev/null || fail "$what: the worker has ended"
    output=$("$@" 2>&1) || true
    if grep -Eq -- "$pattern" <<<"$output"; then
      say "ok: $what"
      return
    fi
    [ "$SECONDS" -lt "$end" ] || fail "$what: no line matches '$pattern' in:
$output"
    sleep 0.5
  done
}

# expect_no WHAT PATTERN COMMAND...: waits until the command succeeds and no line matches.
expect_no() {
  local what=$1 pattern=$2 end=$((SECONDS + timeout)) output
  shift 2
  while true; do
    if output=$("$@" 2>&1) && ! grep -Eq -- "$pattern" <<<"$output"; then
      say "ok: $what"
      return
    fi
    [ "$SECONDS" -lt "$end" ] || fail "$what: a line matches '$pattern' in:
$output"
    sleep 0.5
  done
}

definition smoke-old true '0 * * * *' | put job.yaml
put event.yaml <<'YAML'
kind: event_type
id: smoke.happened
schema: { type: object, required: [number] }
---
id: smoke-event
triggers: [{ event: smoke.happened, when: .data.number == 7 }]
do: [{ keep: { set: { number: '${ .number }' } } }]
YAML
"$almanac" run --dir "$folder/definitions" --listen "${ALMANAC_URL#http://}" >"$folder/worker.log" 2>&1 &
worker=$!

expect 'a definition becomes a schedule' '^smoke-old +active' "$almanac" list

definition smoke-new true '0 * * * *' | put job.yaml
expect 'a renamed definition has a schedule' '^smoke-new +active' "$almanac" list
expect_no 'its old name has none' '^smoke-old' "$almanac" list

definition smoke-new false '0 * * * *' | put job.yaml
expect 'a disabled definition is paused' '^smoke-new +paused' "$almanac" list
definition smoke-new true '0 * * * *' | put job.yaml
expect 'an enabled definition is not' '^smoke-new +active' "$almanac" list

expect 'it is hourly' '^smoke-new +active +hourly' "$almanac" list
definition smoke-new true '0 6 * * *' | put job.yaml
expect 'an hourly schedule becomes daily' '^smoke-new +active +06:00' "$almanac" list

expect 'an event starts a run' 'smoke-event started a run' \
  "$almanac" events send smoke.happened --id "$ALMANAC_PROJECT" --data '{"number": 7}'
expect 'the run completes' ' ok ' "$almanac" show smoke-event --dir "$folder/definitions"

# Everything again, without a change.
for file in "$folder"/definitions/*; do cat "$file" | put "$(basename "$file")"; done
expect_no 'the same files change nothing' '^ *[+~-] ' "$almanac" sync
expect 'the same event starts nothing more' 'smoke-event .*(has a run already|exist)' \
  "$almanac" events send smoke.happened --id "$ALMANAC_PROJECT" --data '{"number": 7}'
expect 'the plan is empty' '^No changes' "$almanac" plan --dir "$folder/definitions"

kill -0 "$worker" 2>/dev/null || fail 'the worker has ended'
say "ok: the same process ($worker) did all of it"
