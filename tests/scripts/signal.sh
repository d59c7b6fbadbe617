# Signals: traps, default actions, job control by number.
trap 'echo got USR1' USR1
kill -USR1 $$
trap 'echo got TERM' TERM
kill -TERM $$
trap '' INT
kill -INT $$; echo survived
trap - TERM
sh -c 'trap "echo child trap; exit 6" TERM; kill -TERM $$; echo not here'; echo $?
# The shell says "Terminated" or "Killed" only if it was waiting by the time the job ended: that is chance.
sleep 30 & p=$!
{ kill $p; wait $p; } 2>/dev/null; echo $?
sleep 30 & p=$!
{ kill -STOP $p; kill -CONT $p; kill -KILL $p; wait $p; } 2>/dev/null; echo $?
sh -c 'trap "echo bye" EXIT; exit 2'; echo $?
(trap 'echo pipe' PIPE; yes 2>/dev/null | head -1)
sh -c 'kill -0 $$' && echo alive
kill -0 99999 2>/dev/null || echo nobody
kill -l 9
trap 'echo last' EXIT
