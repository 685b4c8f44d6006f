package main

import (
	"context"
	"fmt"
	"io"
	"os"
)

// maxInput is the most that a command reads of a file or of standard input, in bytes: far more than
// a server takes.
const maxInput = 16 << 20

// readFile reads a file that an argument names. One that cannot be read is a mistake in the call.
func readFile(name string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, usage{err}
	}
	defer file.Close()
	text, err := readAll(file, name)
	if err != nil {
		return nil, usage{err}
	}
	return text, nil
}

// readBody reads standard input.
func readBody(r io.Reader) ([]byte, error) {
	text, err := readAll(r, "standard input")
	if err != nil {
		return nil, fmt.Errorf("read standard input: %w", err)
	}
	return text, nil
}

func readAll(r io.Reader, name string) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxInput+1))
	if err == nil && len(text) > maxInput {
		err = fmt.Errorf("%s has more than %d bytes", name, maxInput)
	}
	return text, err
}

// interruptible is a reader that gives up when the context ends, so that a command which waits for
// standard input can be interrupted. The read that was under way stays where it is.
type interruptible struct {
	ctx context.Context
	r   io.Reader
}

func (i interruptible) Read(p []byte) (int, error) {
	type result struct {
		n   int
		err error
	}
	buffer := make([]byte, len(p))
	done := make(chan result, 1)
	go func() {
		n, err := i.r.Read(buffer)
		done <- result{n, err}
	}()
	select {
	case <-i.ctx.Done():
		return 0, i.ctx.Err()
	case r := <-done:
		return copy(p, buffer[:r.n]), r.err
	}
}
