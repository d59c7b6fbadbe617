# Processes: pipes, subshells, background jobs, exit statuses.
(exit 3); echo $?
false || echo or
true && echo and
! true; echo $?
(echo sub; cd /tmp; pwd); pwd
echo a | cat | cat | cat
x=$(echo inner; exit 5); echo "$x $?"
sleep 0.1 & wait $!; echo waited $?
(sleep 0.1; exit 9) & wait $!; echo waited $?
for i in 1 2 3; do (echo job $i) & wait; done
set -- a b c; echo $# $2; shift; echo $1
f() { local v=in; echo $v $1; return 4; }; f arg; echo $?
/bin/nothing 2>/dev/null; echo $?
/etc/passwd 2>/dev/null; echo $?
echo $$
sh -c 'echo $$ $PPID' | wc -w
exec 3> /tmp/three; echo to three >&3; exec 3>&-; cat /tmp/three
cat <<END
here $((1 + 1))
END
cat <<'END'
no $expansion
END
{ echo out; echo err >&2; } 2>&1 | sort
yes | head -3
sh -c 'kill -9 $$'; echo $?
sh -c 'kill -TERM $$'; echo $?
nohup true >/dev/null 2>&1; echo $?
timeout 1 sleep 5; echo $?
time -f '' true 2>/dev/null; echo timed
