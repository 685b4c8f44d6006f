// Package ownapi is how a function calls the API of its own deployment. It stands apart from package boot
// so that other functions link no tokens.
package ownapi

import (
	"context"
	"fmt"
	"time"

	"longshore/pkg/backend/webhook"
	"longshore/pkg/boot"
	"longshore/pkg/boot/awssecret"
	"longshore/pkg/identity"
)

// New returns how runs call this deployment's API; nil in a function that is not told its address, or not
// given the key of tokens.
func New(e *boot.Env, client awssecret.Client) (*webhook.Own, error) {
	var own struct {
		TokenKey    string `env:"LONGSHORE_TOKEN_KEY"`
		TokenKeyARN string `env:"LONGSHORE_TOKEN_KEY_ARN"`
	}
	if err := boot.Read(&own); err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	if e.BaseURL == "" || e.OrgID == "" || e.ClientID == "" || own.TokenKey == "" && own.TokenKeyARN == "" {
		return nil, nil
	}
	tokens := awssecret.New(client, time.Now, func(v []awssecret.Value) (*identity.Tokens, error) {
		key, err := boot.Key("LONGSHORE_TOKEN_KEY", v[0].Current)
		if err != nil {
			return nil, err
		}
		return identity.NewTokens(identity.Config{OrgID: e.OrgID, ClientID: e.ClientID, Key: key})
	}, awssecret.Secret{Plain: own.TokenKey, ARN: own.TokenKeyARN})
	return &webhook.Own{
		Addresses: func() []string { return []string{e.BaseURL} },
		Token: func(ctx context.Context, c identity.Call) (string, error) {
			t, err := tokens.Get(ctx)
			if err != nil {
				return "", err
			}
			return t.SignCall(c)
		},
	}, nil
}
