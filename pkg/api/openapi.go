package api

import (
	_ "embed"
	"net/http"
)

//go:embed openapi.json
var openAPI []byte

// Document returns the API's OpenAPI 3.0 document, as GET /openapi.json answers it.
func Document() []byte { return append([]byte(nil), openAPI...) }

// document answers GET /openapi.json.
func (s *server) document(w http.ResponseWriter, _ *http.Request) (int, error) {
	send(w, http.StatusOK, openAPI)
	return http.StatusOK, nil
}
