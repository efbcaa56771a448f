#!/bin/sh
# Two deployments: two people approve the first, one of them refuses the second.
# Run it with `ff` on the PATH: sh examples/deploy-with-approval/run.sh
set -eu

here=$(cd "$(dirname "$0")" && pwd)
directory=$(mktemp -d)
export FF_STORE="sqlite:$directory/work.db"
trap 'kill $worker 2> /dev/null; wait $worker 2> /dev/null || true; rm -rf "$directory"' EXIT

first=$(ff submit deploy '"version 7"')
second=$(ff submit deploy '"version 8"')
ff work --quiet -- sh "$here/deploy.sh" 2> /dev/null &
worker=$!

# Elsewhere, people look what waits for them.
while [ "$(ff wait list -o id | wc -l)" -lt 2 ]; do sleep 0.1; done

ff wait approve "$first" --as ada --quiet > /dev/null
echo "after ada: $(ff exec get "$first" --json | grep -o '"public_state":"[a-z]*"')"
ff wait approve "$first" --as ada # one person is not two
ff wait approve "$first" --as bob --message "looks good" --quiet > /dev/null
ff wait deny "$second" --as ada --quiet > /dev/null
ff wait approve "$second" --as bob --quiet > /dev/null

for id in "$first" "$second"; do
    while ff exec get "$id" --json | grep -qv '"ended_at":[0-9]'; do sleep 0.1; done
    ff exec get "$id" --json | grep -o '"public_state":"[a-z]*"'
done
ff exec result "$first"
