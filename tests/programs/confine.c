/* Runs a program with what runc leaves to a container by default: three capabilities, and no way to more. */
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BIT(n) (1u << (n))

int main(int argc, char **argv) {
    unsigned keep = BIT(CAP_KILL) | BIT(CAP_NET_BIND_SERVICE) | BIT(CAP_AUDIT_WRITE);
    for (int n = 0; n <= CAP_LAST_CAP; n++)
        if (n > 31 || !(keep & BIT(n)))
            if (prctl(PR_CAPBSET_DROP, n, 0, 0, 0)) return 101;
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{keep, keep, 0}, {0, 0, 0}};
    if (syscall(SYS_capset, &header, data)) return 102;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) return 103;
    if (argc < 2) return 104;
    execv(argv[1], argv + 1);
    return 127;
}
