/*
 * Makes the k-th write, truncation or sync below one directory fail: preloaded into a process, armed
 * from within it. Everything else goes to the C library as it is.
 *
 * Build: cc -shared -fPIC -O2 -o failing-io.so failing-io.c -ldl
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static char below[4096];
static atomic_long fail_at; /* 0: never */
static atomic_long seen;
static atomic_int fail_errno;
static atomic_int fail_on; /* whether those after the k-th fail too */

/* From now on the k-th call below `directory` fails, and with `on` every later one. */
void failing_io_arm(const char *directory, long k, int error, int on) {
  strncpy(below, directory, sizeof below - 1);
  atomic_store(&seen, 0);
  atomic_store(&fail_errno, error);
  atomic_store(&fail_on, on);
  atomic_store(&fail_at, k);
}

/* Nothing fails any more. Returns how many calls there were since it was armed. */
long failing_io_disarm(void) {
  atomic_store(&fail_at, 0);
  return atomic_load(&seen);
}

static int fails(int fd) {
  char link[64], path[4096];
  long at = atomic_load(&fail_at);
  if (at == 0) return 0;
  int saved = errno;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  errno = saved;
  if (length < 0) return 0;
  path[length] = 0;
  if (strncmp(path, below, strlen(below)) != 0) return 0;
  long now = atomic_fetch_add(&seen, 1) + 1;
  if (now != at && !(now > at && atomic_load(&fail_on))) return 0;
  errno = atomic_load(&fail_errno);
  return 1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) {
  return fails(fd) ? -1 : REAL(pwrite)(fd, bytes, count, offset);
}
ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset) {
  return fails(fd) ? -1 : REAL(pwrite64)(fd, bytes, count, offset);
}
ssize_t write(int fd, const void *bytes, size_t count) {
  return fails(fd) ? -1 : REAL(write)(fd, bytes, count);
}
int ftruncate(int fd, off_t length) {
  return fails(fd) ? -1 : REAL(ftruncate)(fd, length);
}
int ftruncate64(int fd, off64_t length) {
  return fails(fd) ? -1 : REAL(ftruncate64)(fd, length);
}
int fsync(int fd) {
  return fails(fd) ? -1 : REAL(fsync)(fd);
}
int fdatasync(int fd) {
  return fails(fd) ? -1 : REAL(fdatasync)(fd);
}
