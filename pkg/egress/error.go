package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"syscall"
)

// Error is why a call got no answer, or not all of it. Its text is a sentence with the target's
// host and port, and never holds more of the URL, a header, a body or what the target sent: it may
// be stored and shown. The cause may hold all of these: it is for errors.Is and errors.As.
type Error struct {
	// Sentence is what Error returns, for people.
	Sentence string
	// Refused says that the egress guard forbids the call: the same call will always fail. Any other
	// error is a fault of a connection and may be gone with the next try.
	Refused bool
	err     error
}

func (e *Error) Error() string { return e.Sentence }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.err }

// explain makes an Error of what the transport or a body reported. Host is host:port; answering
// says that the head of the answer had come.
func explain(host string, answering bool, err error) *Error {
	var r *refusal
	if errors.As(err, &r) {
		return &Error{Sentence: r.Error(), Refused: true, err: err}
	}
	return &Error{Sentence: sentence(host, answering, err), err: err}
}

func sentence(host string, answering bool, err error) string {
	var (
		dns     *net.DNSError
		op      *net.OpError
		timeout net.Error
	)
	errors.As(err, &op)
	switch {
	case errors.Is(err, context.Canceled):
		return "the call to " + host + " was interrupted"
	case errors.As(err, &dns) && dns.IsNotFound:
		return hostOnly(host) + " does not resolve"
	case errors.As(err, &dns):
		return "the name server gave no answer about " + hostOnly(host)
	case errors.As(err, &timeout) && timeout.Timeout():
		switch {
		case answering:
			return host + " did not finish its answer in time"
		case op != nil && op.Op == "dial":
			return "connecting to " + host + " timed out"
		}
		return host + " did not answer in time"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused by " + host
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "connection reset by " + host
	case errors.Is(err, errUnreachable), errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH),
		errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, syscall.EHOSTDOWN), errors.Is(err, syscall.ENETDOWN),
		errors.Is(err, syscall.EAFNOSUPPORT):
		return host + " cannot be reached"
	}
	if s := certificate(err); s != "" {
		return "the certificate of " + host + " " + s
	}
	var record tls.RecordHeaderError
	switch {
	// crypto/tls reports an alert as a net.OpError with the side that sent it in place of what failed.
	case errors.As(err, &record), op != nil && (op.Op == "remote error" || op.Op == "local error"):
		return "TLS with " + host + " failed"
	case answering:
		return host + " broke off in the middle of its answer"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), err.Error() == serverClosedIdle:
		return host + " closed the connection without an answer"
	}
	return "no valid HTTP answer from " + host
}

// serverClosedIdle is the text of net/http's unexported error for a connection that the target
// closed before the first byte of an answer.
const serverClosedIdle = "http: server closed idle connection"

// certificate says what is wrong with the target's certificate, without its contents.
func certificate(err error) string {
	var (
		authority x509.UnknownAuthorityError
		name      x509.HostnameError
		invalid   x509.CertificateInvalidError
		other     *tls.CertificateVerificationError
	)
	switch {
	case errors.As(err, &authority):
		return "is signed by an unknown authority"
	case errors.As(err, &name):
		return "is made out to another name"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "is not valid at this time"
	case errors.As(err, &invalid), errors.As(err, &other):
		return "is not valid"
	}
	return ""
}

func hostOnly(hostPort string) string {
	host, _, err := net.SplitHostPort(hostPort)
	if err != nil {
		return hostPort
	}
	return host
}
