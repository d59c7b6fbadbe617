# The shell itself: expansion, arithmetic, loops, case.
a=hello; echo ${a%lo} ${a#he} ${#a} ${b:-default} ${a:+set}
echo $((0x10 + 010 + 3 * (4 - 1) % 5)) $((1 << 10)) $((7 > 3))
case $a in h*) echo glob;; *) echo none;; esac
i=0; while [ $i -lt 3 ]; do i=$((i + 1)); [ $i = 2 ] && continue; echo $i; done
until [ $i = 0 ]; do i=$((i - 1)); done; echo $i
for f in /etc/p*; do echo $f; done
IFS=:; set -- x:y:z; for p in $1; do echo $p; done; unset IFS
echo "a   b" a   b
printf '%05d|%-5s|%x\n' 42 ab 255
test 3 -gt 2 -a -d /tmp && echo both
read x y <<END
first second third
END
echo $y
eval 'echo $(echo nested $(echo deep))'
set -e; (set +e; false; echo go on); set +e
set -u; (echo $undefined) 2>/dev/null || echo unset
set -f; echo *; set +f
command -v sh
type cd
getopts ab: o -b val && echo $o $OPTARG
alias ll='ls -l'; alias ll
unset a; echo ${a-unset}
echo done
