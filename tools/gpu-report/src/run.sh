#!/bin/sh
# Measures wgrad on this machine; needs neither Rust nor a network. Exit status 1: a part failed or the time was over
# before it; 3: no adapter opens. Arguments name the parts that run. Results: one table, printed last, and the folder report/ next to this file.
set -u
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd) || exit 1

if ! said=$("$here/bin/report" --help 2>&1); then
    printf '%s\n' "$said" "The programs do not start here: they are built for {system}." >&2
    exit 1
fi
if ! touch "$here/.writable" 2>/dev/null; then
    echo "$here cannot be written to: copy the folder to where it can be." >&2
    exit 1
fi
rm -f "$here/.writable"

# Each part has its limit; this one is for what nobody thought of.
limit=
if command -v timeout >/dev/null 2>&1; then
    limit="timeout -k 5 479"
fi
$limit "$here/bin/report" --run "$here" "$@"
status=$?
case $status in
0 | 1 | 3) exit $status ;;
esac
# It was ended before it could print the table, which it keeps as the rows come.
cat "$here/report/report.md"
echo "ended with status $status (124 or 137: it took too long)" >&2
exit 1
