#!/bin/sh
# torchrun, told to stop by its cluster, passes the signal on to the ranks and ends with 1, whatever they say. Here that
# is 75, as of wikiloom train itself: stopped, the same command goes on. All other ends keep torchrun's code.
stopped=
torchrun=
trap 'stopped=75; [ -z "$torchrun" ] || kill -TERM "$torchrun"' TERM INT
torchrun --no-python "$@" &
torchrun=$!
[ -z "$stopped" ] || kill -TERM "$torchrun"
wait "$torchrun"
code=$?
# A trapped signal ends the wait, not torchrun.
while kill -0 "$torchrun" 2>/dev/null; do
    wait "$torchrun"
    code=$?
done
[ "$code" -eq 0 ] && exit 0
exit "${stopped:-$code}"
