package emulator

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// fetch returns the folder with the jars of a service, fetching them if this machine has none for
// this POM yet. Of several processes one fetches and the others wait for it.
func fetch(ctx context.Context, s service) (string, error) {
	pom, err := findPOM(s.folder)
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile(pom)
	if err != nil {
		return "", fmt.Errorf("read its POM: %w", err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the cache directory: %w", err)
	}
	sum := sha256.Sum256(text)
	cache = filepath.Join(cache, "longshore", "emulators")
	jars := filepath.Join(cache, s.folder+"-"+hex.EncodeToString(sum[:6]))
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", fmt.Errorf("make the cache directory: %w", err)
	}
	unlock, err := lock(ctx, jars+".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	// The folder gets its name when it is complete.
	if _, err := os.Stat(jars); err == nil {
		return jars, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("look for its jars: %w", err)
	}
	part := jars + ".part"
	if err := os.RemoveAll(part); err != nil {
		return "", fmt.Errorf("clear an unfinished fetch: %w", err)
	}
	mvn := exec.CommandContext(ctx, "mvn", "-q", "-B", "-f", pom, "dependency:copy-dependencies",
		"-DincludeScope=runtime", "-DoutputDirectory="+part)
	if output, err := mvn.CombinedOutput(); err != nil {
		return "", fmt.Errorf("fetch its jars by mvn: %w: %s", err, tailOf(output))
	}
	if err := os.Rename(part, jars); err != nil {
		return "", fmt.Errorf("keep its jars: %w", err)
	}
	return jars, nil
}

// findPOM looks upwards from the working directory, which for a test is its package's folder.
func findPOM(folder string) (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find its POM: %w", err)
	}
	for {
		pom := filepath.Join(dir, "testdata", "emulators", folder, "pom.xml")
		if _, err := os.Stat(pom); err == nil {
			return pom, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("no testdata/emulators/%s/pom.xml in this folder or above", folder)
		}
		dir = parent
	}
}

// lock takes the lock of a file among all processes; the system gives it back when one dies.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the lock of its jars: %w", err)
	}
	every := time.NewTicker(100 * time.Millisecond)
	defer every.Stop()
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			_ = f.Close()
			return nil, fmt.Errorf("lock its jars: %w", err)
		}
		select {
		case <-ctx.Done():
			_ = f.Close()
			return nil, fmt.Errorf("wait for another process that fetches its jars: %w", ctx.Err())
		case <-every.C:
		}
	}
}
