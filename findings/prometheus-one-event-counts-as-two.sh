#!/usr/bin/env bash
# increase() of one single event in a young series is nearly two for a moment, and over two where
# the series did not begin at zero.
#
# VERSION Prometheus 2.42.0 (promtool, Debian 12); scrapes every 30 s
# GUESS   A threshold of 1.5 tells one event from two: increase() adds at the ends of the range,
#         but no more than half an interval of scrapes, so that one event is at most 1.5.
# SEEN    At the end of the range it adds nearly a whole interval. With two samples (0, then 1), one
#         event is 1 at the second sample, 1.5 half an interval later and 1.97 just before the
#         third; from 7 to 8 it is 2.47. With ten samples it is 1 and 1.05.
# HERE    Rules such as "refused more than once: increase(...[6h]) > 1.5" fire for the first event
#         after a start, depending on when in the interval the rule is evaluated. `for:` of two
#         scrapes keeps them quiet.
set -eu
box=$(mktemp -d)
trap 'rm -rf "$box"' EXIT
tool=$(command -v promtool || true)
if [ -z "$tool" ]; then
  (cd "$box" && apt-get -q download prometheus && dpkg-deb -x ./*.deb .) >"$box/log" 2>&1 || true
  tool=$box/usr/bin/promtool
fi
if ! "$tool" --version 2>&1 | grep -q "version 2\.42\.0"; then
  echo "cannot be had: promtool 2.42.0 (Debian 12: prometheus)"
  exit 77
fi
cat >"$box/rules.yml" <<'END'
groups:
  - name: refused
    rules:
      - record: refused:increase6h
        expr: increase(refused_total[6h])
END
cat >"$box/test.yml" <<'END'
rule_files: [rules.yml]
evaluation_interval: 30s
tests:
  - interval: 30s
    input_series:
      - series: refused_total{from="zero"}
        values: 0 1 1 1 1 1 1 1 1 1 1
      - series: refused_total{from="seven"}
        values: 7 8 8 8 8 8 8 8 8 8 8
    promql_expr_test:
      - expr: increase(refused_total[6h]) > 0
        eval_time: 30s
      - expr: increase(refused_total[6h]) > 0
        eval_time: 45s
      - expr: increase(refused_total[6h]) > 0
        eval_time: 59s
      - expr: increase(refused_total[6h]) > 0
        eval_time: 5m
END
# Nothing is expected in that file, so promtool tells everything it got.
seen=$("$tool" test rules "$box/test.yml" 2>&1 | sed -n \
  -e 's/.*time: \(.*\),$/after \1/p' -e 's/^ *got: *//p')
expected='after 30s
{from="seven"} 1.5E+00, {from="zero"} 1E+00
after 45s
{from="seven"} 2E+00, {from="zero"} 1.5E+00
after 59s
{from="seven"} 2.466666666666667E+00, {from="zero"} 1.9666666666666666E+00
after 5m
{from="seven"} 1.05E+00, {from="zero"} 1E+00'
printf '%s\n' "$seen"
if [ "$seen" != "$expected" ]; then
  printf 'CHANGED; it was:\n%s\n' "$expected"
  exit 1
fi
echo "as found"
