# Large data through small pipes, and many processes.
dd if=/dev/zero bs=64k count=16 2>/dev/null | wc -c
yes abcdefgh | head -100000 | md5sum
seq 1 20000 | awk '{ s += $1 } END { print s }'
seq 1 5000 | sort -rn | head -1
i=0; while [ $i -lt 100 ]; do /bin/true || echo failed; i=$((i + 1)); done; echo $i
seq 1 300 | xargs -n 30 echo | wc -l
dd if=/dev/urandom of=/tmp/r bs=1k count=200 2>/dev/null; gzip -c /tmp/r | gunzip -c | cmp - /tmp/r && echo same
seq 1 3000 > /tmp/s; tac /tmp/s | tac | cmp - /tmp/s && echo same
split -l 1000 /tmp/s /tmp/part.; cat /tmp/part.* | cmp - /tmp/s && echo same
mkdir /tmp/many; i=0; while [ $i -lt 200 ]; do : > /tmp/many/f$i; i=$((i + 1)); done; ls /tmp/many | wc -l
rm -r /tmp/many; ls /tmp/many 2>&1
