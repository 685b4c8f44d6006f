package jqtemplate

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"longshore/pkg/fault"
)

// maxLine bounds one line of a batch, in bytes.
const maxLine = 32 << 20

// Batch renders lines {"input": any, "template": any, "strict": bool} from r and writes one line to
// w for each, in order: {"ok": value}, {"undefined": true}, or {"error": text, "errorClass": class}
// with ErrorClass's classes. Absent members are null and false; other members are ignored. A line that
// is no such object, or longer than 32 MiB, is answered with an error like any other. What is written
// is flushed whenever r has nothing more at hand, so that a caller may wait for each answer. The
// error is ctx's, the reader's or the writer's.
func Batch(ctx context.Context, r io.Reader, w io.Writer) error {
	in, out := bufio.NewReaderSize(r, 64<<10), bufio.NewWriterSize(w, 64<<10)
	for {
		if err := ctx.Err(); err != nil {
			return errors.Join(err, out.Flush())
		}
		line, tooLong, err := readLine(in)
		if err != nil && !errors.Is(err, io.EOF) {
			return errors.Join(fmt.Errorf("read a line of the batch: %w", err), out.Flush())
		}
		if len(line) > 0 || tooLong || err == nil {
			answer := &Object{}
			if tooLong {
				answer.Set("error", fmt.Sprintf("the line is over %d bytes", maxLine))
				answer.Set("errorClass", classTemplate)
			} else {
				answerLine(ctx, line, answer)
			}
			if _, err := out.Write(append(Encode(answer), '\n')); err != nil {
				return fmt.Errorf("write an answer of the batch: %w", err)
			}
		}
		if err != nil || in.Buffered() == 0 {
			if err := out.Flush(); err != nil {
				return fmt.Errorf("write an answer of the batch: %w", err)
			}
		}
		if err != nil {
			return nil
		}
	}
}

// readLine reads up to and without the next line end; err is io.EOF for the last line, which may be
// empty.
func readLine(in *bufio.Reader) (line []byte, tooLong bool, err error) {
	for {
		piece, err := in.ReadSlice('\n')
		if tooLong = tooLong || len(line)+len(piece) > maxLine; tooLong {
			line = nil
		} else {
			line = append(line, piece...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err == nil && !tooLong:
			line = line[:len(line)-1]
		}
		return line, tooLong, err
	}
}

// answerLine puts the answer to one line into answer.
func answerLine(ctx context.Context, line []byte, answer *Object) {
	result, err := renderLine(ctx, line)
	switch {
	case err != nil:
		answer.Set("error", sentence(err))
		answer.Set("errorClass", ErrorClass(err))
	case result.Undefined:
		answer.Set("undefined", true)
	default:
		answer.Set("ok", result.Value)
	}
}

func renderLine(ctx context.Context, line []byte) (Result, error) {
	v, err := Decode(line)
	if err != nil {
		return Result{}, err
	}
	request, ok := v.(*Object)
	if !ok {
		return Result{}, fault.New(fault.Invalid, "", "the line is no JSON object")
	}
	template, ok := request.Get("template")
	if !ok {
		return Result{}, fault.New(fault.Invalid, "", "the line has no template")
	}
	input, _ := request.Get("input")
	strict, given := request.Get("strict")
	if _, ok := strict.(bool); given && !ok {
		return Result{}, fault.New(fault.Invalid, "", "strict is no boolean")
	}
	t, err := Parse(template, "")
	if err != nil {
		return Result{}, err
	}
	return t.Render(ctx, NewData(input), Options{Strict: strict == true})
}

// sentence is what an error says without the path of its first fault, as the original engine has it.
func sentence(err error) string {
	var f *fault.Error
	switch {
	case errors.As(err, &f) && len(f.Details) > 0:
		return f.Details[0].Message
	case f != nil:
		return f.Message
	}
	return err.Error()
}
