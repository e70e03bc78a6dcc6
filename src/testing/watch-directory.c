/*
 * A program as applications are: watches a directory for what is moved there, and reloads at a signal.
 * Writes a line for each into a file: `watching`, then `moved NAME` and `signal`, in the order in which
 * they came to be: whoever hears of both takes the older first.
 *
 * Build: cc -static -O2 -o watch-directory watch-directory.c
 * Usage: watch-directory DIRECTORY LOG
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <unistd.h>

static int watching, hearing, logging;

static void tell_moves(void) {
  char events[4096] __attribute__((aligned(8)));
  ssize_t filled;
  while ((filled = read(watching, events, sizeof events)) > 0) {
    for (char *at = events; at < events + filled;) {
      struct inotify_event *event = (struct inotify_event *)at;
      dprintf(logging, "moved %s\n", event->len > 0 ? event->name : "");
      at += sizeof *event + event->len;
    }
  }
}

int main(int count, char **words) {
  if (count != 3) return 2;
  sigset_t reload;
  sigemptyset(&reload);
  sigaddset(&reload, SIGHUP);
  sigprocmask(SIG_BLOCK, &reload, NULL);
  hearing = signalfd(-1, &reload, SFD_CLOEXEC);
  watching = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  logging = open(words[2], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (hearing < 0 || watching < 0 || logging < 0) return 1;
  if (inotify_add_watch(watching, words[1], IN_MOVED_TO) < 0) return 1;
  dprintf(logging, "watching\n");
  struct pollfd both[] = {{watching, POLLIN, 0}, {hearing, POLLIN, 0}};
  while (poll(both, 2, -1) >= 0) {
    struct signalfd_siginfo heard;
    int signalled = (both[1].revents & POLLIN) != 0;
    /* Whatever had been moved by the time of the signal is there to be read. */
    tell_moves();
    if (signalled && read(hearing, &heard, sizeof heard) > 0) dprintf(logging, "signal\n");
  }
  return 1;
}
