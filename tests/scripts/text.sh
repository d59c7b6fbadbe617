# Text tools: what goes through a pipe comes out the same on every kernel.
printf 'pear 3\napple 10\nfig 7\napple 2\n' > /tmp/fruit
sort /tmp/fruit
sort -k2 -n /tmp/fruit | head -2
sort /tmp/fruit | cut -d' ' -f1 | uniq -c | sed 's/^ *//'
awk '{ sum[$1] += $2 } END { for (f in sum) print f, sum[f] }' /tmp/fruit | sort
grep -n apple /tmp/fruit
grep -c -v apple /tmp/fruit
sed -n -e 's/apple/APPLE/p' -e '/fig/d' /tmp/fruit
tr a-z A-Z < /tmp/fruit | tail -1
wc -l < /tmp/fruit
echo one two three | xargs -n1 echo item
printf '%s\n' a b c d | paste -s -d, -
seq 1 5 | while read n; do echo $((n * n)); done
head -c 5 /tmp/fruit | od -An -tx1
printf 'abc' | md5sum
printf 'abc' | sha256sum
echo 'hello world' | rev
expr 6 \* 7
nl -ba /tmp/fruit
