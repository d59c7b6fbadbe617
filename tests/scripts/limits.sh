# Limits of a process that the configuration set.
ulimit -Sn; ulimit -Hn
ulimit -Sn 10
(exec 9< /dev/null) && echo the tenth descriptor opens
(exec 10< /dev/null) 2>/dev/null || echo the eleventh does not
(ulimit -f 1; dd if=/dev/zero of=/tmp/big bs=1k count=8 2>/dev/null; echo $?)
ulimit -Hn 500 && ulimit -Hn
