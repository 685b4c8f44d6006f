package api

import "net/http"

// Fault answers a request that cannot reach the API's handler, because something before it failed:
// the same JSON as every other fault.
func Fault(w http.ResponseWriter, err error) { writeFault(w, err) }
