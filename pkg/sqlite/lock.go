package sqlite

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"longshore/pkg/fault"
)

// lockFile stands in the data directory; nobody writes to it.
const lockFile = "lock"

// takeLock takes a directory for this process. The lock goes with the file's last descriptor, so a
// process that was killed has none; children do not inherit it.
func takeLock(dir string) (*os.File, error) {
	file, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock data directory: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = fault.New(fault.Conflict, "data_in_use", "another process uses the data directory %s", dir)
		} else {
			err = fmt.Errorf("lock data directory: %w", err)
		}
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}
