/** System calls that older C libraries have no function for. */

/** These have had the same number on every architecture since Linux 5.1. The last is from Linux 5.12. */
export const number = {
  pidfd_send_signal: 424,
  open_tree: 428,
  move_mount: 429,
  fsopen: 430,
  fsconfig: 431,
  fsmount: 432,
  pidfd_open: 434,
  openat2: 437,
  mount_setattr: 442,
} as const;
