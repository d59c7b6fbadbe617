# Files: made, linked, moved, removed, and every refusal with its number.
cd /tmp || exit 1
mkdir -p d/e/f && touch d/e/f/x && find d | sort
echo first > a; ln a b; echo second >> b; cat a
stat -c '%h %s %a %F' a
ln -s a s; readlink s; cat s; stat -c '%F' s
rm a; cat b; cat s 2>&1
mv b d/moved; ls d
cp -r d copy; ls copy/e/f
chmod 640 d/moved; stat -c %a d/moved
mkdir d 2>&1
rmdir d 2>&1
cat nothing 2>&1
cd d/moved 2>&1
rm -r d copy; ls
umask 027; echo x > m; stat -c %a m; mkdir md; stat -c %a md
dd if=/dev/zero of=z bs=1k count=8 2>/dev/null; stat -c %s z
truncate -s 3 z; stat -c %s z; od -An -tx1 z
echo append >> z; tail -c 7 z
tar cf t.tar m md z; tar tf t.tar; mkdir out; tar xf t.tar -C out; cmp z out/z && echo same
touch -d '2020-02-03 04:05:06' z; stat -c %Y z
test -w z && test -r z && test ! -x z && echo modes
: > empty; test -s empty || echo empty
ls -ld /tmp/md | cut -c1-10
mktemp -d /tmp/XXXXXX > /dev/null && echo temp
find / -xdev -name passwd -type f
