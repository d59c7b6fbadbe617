#!/bin/bash
# The same kernel under another program: bash.
declare -A m=([one]=1 [two]=2); echo ${m[two]} ${#m[@]}
a=(x y z); echo ${a[@]:1} ${#a[*]}
for ((i = 0; i < 3; i++)); do echo -n $i; done; echo
[[ abc =~ ^a(.)c$ ]] && echo ${BASH_REMATCH[1]}
diff <(echo same) <(echo same) && echo equal
cat <<< 'here string'
echo {1..3} {a,b}c
printf -v v '%03d' 7; echo $v
mapfile -t lines < <(seq 1 4); echo ${lines[3]}
set -o pipefail; false | true; echo $?
coproc { cat; }; echo hi >&${COPROC[1]}; read r <&${COPROC[0]}; echo $r
echo ${PIPESTATUS[@]} ${BASH_VERSION%%.*}
trap 'echo exit trap' EXIT
(( 5 > 3 )) && echo arithmetic
f() { local -n ref=$1; ref=changed; }; q=; f q; echo $q
echo "${v@Q}" "${q^^}"
{ kill $COPROC_PID; wait $COPROC_PID; } 2>/dev/null; kill -l TERM
