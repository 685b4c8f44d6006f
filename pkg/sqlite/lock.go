package sqlite

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"longshore/pkg/fault"
)

// lockFile stands in the data directory; nobody writes to it.
const lockFile = "lock"

// A process that is about to end may still hold the lock, and so may a child of this one between
// fork and exec: it is asked for this often, this far apart.
const (
	lockTries = 20
	lockPause = 25 * time.Millisecond
)

// takeLock takes a directory for this process. The lock goes with the file's last descriptor, so a
// process that was killed has none.
func takeLock(dir string) (*os.File, error) {
	file, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock data directory: %w", err)
	}
	for range lockTries {
		if err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err == nil {
			return file, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.Join(fmt.Errorf("lock data directory: %w", err), file.Close())
		}
		time.Sleep(lockPause)
	}
	taken := fault.New(fault.Conflict, "data_in_use", "another process uses the data directory %s", dir)
	return nil, errors.Join(taken, file.Close())
}
