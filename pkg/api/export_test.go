package api

import "longshore/pkg/identity"

// SetVerify says who tokens stand for.
func SetVerify(c *Config, verify func(token string) (identity.Caller, error)) { c.verify = verify }
