# Namespaces: numbers that start at 1 and names that are the container's own.
ps -o pid,comm | head -2
hostname
cat /proc/sys/kernel/hostname
for n in mnt uts ipc pid net user; do readlink /proc/self/ns/$n | sed 's/[0-9]*//g'; done
test "$(readlink /proc/self/ns/pid)" = "$(readlink /proc/1/ns/pid)" && echo one pid namespace
cat /proc/1/comm
cat /proc/self/uid_map | tr -s ' '
tail -n +3 /proc/net/dev | sed 's/:.*//; s/ //g'
for n in 0 1 2; do test -e /proc/1/fd/$n && echo $n; done
grep -c . /proc/self/mountinfo > /dev/null && echo mountinfo
hostname other 2>&1
