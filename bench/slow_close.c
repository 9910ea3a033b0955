/* A driver that hangs in close(): once the file SLOW_CLOSE_IF is there, closing the file SLOW_CLOSE takes SLOW_CLOSE_S
   seconds. For LD_PRELOAD, benches only. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int close(int fd)
{
    static int (*real)(int);
    const char *hangs = getenv("SLOW_CLOSE"), *flag = getenv("SLOW_CLOSE_IF");
    char link[64], name[PATH_MAX];
    ssize_t length;

    if (!real)
        real = (int (*)(int))dlsym(RTLD_NEXT, "close");
    if (hangs && flag && access(flag, F_OK) == 0) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        length = readlink(link, name, sizeof name - 1);
        if (length > 0) {
            name[length] = 0;
            if (strcmp(name, hangs) == 0) {
                struct timespec left = {atol(getenv("SLOW_CLOSE_S")), 0};

                while (nanosleep(&left, &left) != 0)
                    ;
            }
        }
    }
    return real(fd);
}
