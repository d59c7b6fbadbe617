#!/bin/sh
# What a runtime prepares before a container's program, done by hand: the mounts of `runc spec`, its devices, limits.
mount -t tmpfs -o nosuid,strictatime,mode=755,size=65536k tmpfs /dev
mount -t sysfs -o nosuid,noexec,nodev,ro sysfs /sys
mkdir /dev/pts /dev/shm /dev/mqueue
mount -t devpts -o nosuid,noexec,newinstance,ptmxmode=0666,mode=0620 devpts /dev/pts
mount -t tmpfs -o nosuid,noexec,nodev,mode=1777,size=65536k shm /dev/shm
mount -t mqueue -o nosuid,noexec,nodev mqueue /dev/mqueue
umask 0
mknod -m 666 /dev/null c 1 3
mknod -m 666 /dev/zero c 1 5
mknod -m 666 /dev/full c 1 7
mknod -m 666 /dev/random c 1 8
mknod -m 666 /dev/urandom c 1 9
mknod -m 666 /dev/tty c 5 0
umask 022
ln -s /proc/self/fd /dev/fd
ln -s /proc/self/fd/0 /dev/stdin
ln -s /proc/self/fd/1 /dev/stdout
ln -s /proc/self/fd/2 /dev/stderr
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
ulimit -n 1024
hostname bailiwick
exec /.confine "$@"
