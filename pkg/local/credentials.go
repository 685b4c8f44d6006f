package local

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Credentials are what a data directory keeps beside its database. The file has mode 0600.
type Credentials struct {
	OrgID        string `json:"orgId"`
	ClientID     string `json:"clientId"`
	ClientSecret string `json:"clientSecret"`
	// TokenKey and SealingKey are 32 bytes in base64.
	TokenKey   string `json:"tokenKey"`
	SealingKey string `json:"sealingKey"`
}

const credentialsFile = "credentials.json"

// ReadCredentials returns the credentials of a data directory; fs.ErrNotExist when it has none. Every error is a
// *fs.PathError.
func ReadCredentials(dir string) (Credentials, error) {
	var c Credentials
	path := filepath.Join(dir, credentialsFile)
	text, err := os.ReadFile(path)
	if err != nil {
		return c, fmt.Errorf("read credentials: %w", err)
	}
	if err = json.Unmarshal(text, &c); err == nil && (c.OrgID == "" || c.ClientID == "" || len(c.ClientSecret) < 32 || c.TokenKey == "") {
		err = errors.New("a member is missing or too short")
	}
	if err != nil {
		return c, fmt.Errorf("read credentials that this program did not write: %w", &fs.PathError{Op: "parse", Path: path, Err: err})
	}
	return c, nil
}

// keepCredentials returns those of a directory, and makes them first where it has none; made says so.
func keepCredentials(dir string) (c Credentials, made bool, err error) {
	c, err = ReadCredentials(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return c, false, err
	}
	c = Credentials{
		OrgID:        "org_" + name(16),
		ClientID:     "client_" + name(16),
		ClientSecret: name(64),
		TokenKey:     key(),
		SealingKey:   key(),
	}
	text, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return c, false, fmt.Errorf("write credentials: %w", err)
	}
	if err := replaceFile(filepath.Join(dir, credentialsFile), append(text, '\n')); err != nil {
		return c, false, fmt.Errorf("write credentials: %w", err)
	}
	return c, true, nil
}

// replaceFile writes a file with mode 0600, whole or not at all, whatever happens meanwhile.
func replaceFile(path string, text []byte) error {
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	if err = errors.Join(err, file.Sync(), file.Close()); err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		_ = os.Remove(file.Name())
	}
	return err
}

// name returns n random characters of [A-Z2-7]: 5 bits each.
func name(n int) string {
	text := ""
	for len(text) < n {
		text += rand.Text()
	}
	return text[:n]
}

func key() string {
	var b [32]byte
	_, _ = rand.Read(b[:])
	return base64.StdEncoding.EncodeToString(b[:])
}
