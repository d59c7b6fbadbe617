# Mounts: what a container sees, and what it may not do.
awk '$2 ~ "^/(proc|dev|dev/pts|dev/shm|dev/mqueue|sys)$" { print $2, $3 }' /proc/mounts | sort
awk '$5 == "/" { print "root is", $5, substr($6, 1, 2) }' /proc/self/mountinfo
echo x > /rootfile 2>&1
touch /etc/passwd 2>&1
mount -t tmpfs none /mnt 2>&1
umount /proc 2>&1
ls -l /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty | awk '{ print $1, $5, $6, $NF }'
readlink /dev/fd /dev/stdin /dev/stdout /dev/stderr
echo gone > /dev/null; head -c 4 /dev/zero | od -An -tx1
echo x 2>&1 > /dev/full
cat /proc/kcore | wc -c
ls /proc/scsi /sys/firmware 2>/dev/null | grep -v : | grep -c .
echo 1 > /proc/sys/kernel/domainname 2>&1
ls -d /dev/shm /dev/pts /dev/mqueue
mkdir /dev/shm/a && echo shm
stat -c '%a %U' /tmp /dev
ls / | sort
cd /; ls -d ..; cd ../../..; pwd
mknod /tmp/n c 1 3 2>&1 | sed 's/.*: //'
