# Named pipes, descriptors, and files that are gone but open.
cd /tmp; mkfifo p; (echo through > p) & cat p; wait
exec 4<> p; echo buffered >&4; read line <&4; echo $line; exec 4>&-
echo text > gone; exec 5< gone; rm gone; cat <&5; exec 5<&-
exec 6> w; echo one >&6; echo two >&6; exec 6>&-; cat w
exec 7< w; read a <&7; read b <&7; echo $b $a; read c <&7 || echo end
(echo a; sleep 0.1; echo b) | while read x; do echo got $x; done
cat w > w2 2>&1; cmp w w2 && echo same
ls /proc/self/fd | wc -l
cat < /dev/null; echo empty
: > w; test ! -s w && echo truncated
