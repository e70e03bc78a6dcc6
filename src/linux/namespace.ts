/**
 * Mount namespaces: a thread that may visit them, and the only three things it does there.
 *
 * A visit is `setns`, one or two calls on descriptors, `setns` back. Inside, the thread's root
 * directory is the container's: a path looked up, a file opened, a library loaded or a program started
 * would be the container's. So the visits are closed functions without paths or call-backs; they
 * allocate nothing, and errors are built after the return. A thread that cannot return ends the
 * process.
 */
import {
  AT_FDCWD,
  CLONE_FS,
  CLONE_NEWNS,
  isErrno,
  LibcError,
  O_RDONLY,
  openat,
  setns,
  tryFchdir,
  tryMoveMount,
  tryOpenTreeClone,
  tryUmountHere,
  umask,
  unshare,
} from './libc.ts';

/** Descriptor of the mount namespace that the thread belongs to. */
export interface HomeNamespace {
  readonly fd: number;
}

/**
 * Makes the calling thread able to visit. For a thread of its own only: it no longer shares its
 * current directory, root and umask with the rest of the process. Its umask becomes 0.
 */
export function leaveSharedFileSystemState(): HomeNamespace {
  unshare(CLONE_FS);
  umask(0);
  return { fd: openat(AT_FDCWD, '/proc/thread-self/ns/mnt', O_RDONLY) };
}

/**
 * Attaches the detached mount at the directory that `targetFd` is.
 *
 * @returns A detached second mount of the same directory. It is cloned here, after the move, because
 *   before Linux 6.15 only an attached mount can be cloned, and only from within its namespace.
 */
export function attachInside(
  home: HomeNamespace,
  namespaceFd: number,
  mount: { readonly mountFd: number; readonly targetFd: number },
): number {
  const { mountFd, targetFd } = mount;
  setns(namespaceFd, CLONE_NEWNS);
  const moved = tryMoveMount(mountFd, targetFd);
  const cloned = moved < 0 ? moved : tryOpenTreeClone(mountFd);
  if (moved >= 0 && cloned < 0 && tryFchdir(mountFd) >= 0) tryUmountHere();
  goHome(home);
  if (moved < 0) throw new LibcError('move_mount', -moved);
  if (cloned < 0) throw new LibcError('open_tree', -cloned);
  return cloned;
}

/**
 * Detaches the mount whose root `mountFd` is. Not by path: the current directory is set by
 * descriptor, and `.` is what is unmounted. If another mount covers it, that one is detached.
 */
function detachInside(home: HomeNamespace, namespaceFd: number, mountFd: number): void {
  setns(namespaceFd, CLONE_NEWNS);
  const changed = tryFchdir(mountFd);
  const result = changed < 0 ? changed : tryUmountHere();
  goHome(home);
  if (result < 0) throw new LibcError('umount2', -result);
}

/** As `detachInside`, but it is no failure if the mount is not attached in that namespace. */
export function detachIfThere(home: HomeNamespace, namespaceFd: number, mountFd: number): void {
  try {
    detachInside(home, namespaceFd, mountFd);
  } catch (error) {
    if (!isErrno(error, 'EINVAL')) throw error;
  }
}

/** A detached second mount of what is mounted at `mountFd` in that namespace. */
export function cloneInside(home: HomeNamespace, namespaceFd: number, mountFd: number): number {
  setns(namespaceFd, CLONE_NEWNS);
  const result = tryOpenTreeClone(mountFd);
  goHome(home);
  if (result < 0) throw new LibcError('open_tree', -result);
  return result;
}

/** Back to where the thread belongs; root and current directory become those of that namespace. */
function goHome(home: HomeNamespace): void {
  try {
    setns(home.fd, CLONE_NEWNS);
  } catch {
    // Anything this thread did now would be done inside a container.
    process.abort();
  }
}
