package action

import (
	"longshore/pkg/document"
	"longshore/pkg/fault"
	"longshore/pkg/jqtemplate"
	"longshore/pkg/secret"
)

// encryption is how an input is encrypted; nil for one in clear.
type encryption struct {
	// client is set if whoever sends the input encrypts it, for the key, which is nil if it is none.
	client bool
	key    *secret.ClientKey
}

// byClient reports whether the input's sender encrypts it.
func (e *encryption) byClient() bool { return e != nil && e.client }

// check adds a fault unless a value was encrypted by its sender.
func (e *encryption) check(f *document.Faults, path string, v any) {
	text, ok := v.(string)
	switch {
	case e.key == nil:
		f.Add(path, "cannot be accepted: the action's encryption.key is no RSA public key in PEM")
	case !ok || !e.key.Fits(text):
		f.Add(path, "must be encrypted by its sender: base64 of an IV of 12 bytes, an AES key encrypted with RSA-OAEP, and the ciphertext")
	}
}

// encryption compiles the encryption of an input of some type.
func (c *inputCompiler) encryption(v, kind any, path string, top bool) {
	if c.evaluation != nil {
		return
	}
	switch {
	case !top:
		c.p.faults.Add(path, "only a whole input can be encrypted, no part of one")
		return
	case kind != "string" && kind != "object":
		c.p.faults.Add(path, "only inputs of type string or object can be encrypted")
		return
	}
	e := new(encryption)
	o, _ := v.(*jqtemplate.Object)
	if document.Text(o, "algorithm") == "client-side" {
		var err error
		e.client = true
		// Clients save such definitions; what they take shows when they are triggered.
		if e.key, err = secret.ParseClientKey(document.Text(o, "key")); err != nil {
			c.p.d.Warnings = append(c.p.d.Warnings, jqtemplate.Warning{
				Path: path + ".key", Message: err.Error() + "; until it is, every value of this input is refused",
			})
		}
	}
	c.input.encryption = e
}

// Encrypted returns the names of the inputs that are encrypted, in the order in which they are
// declared.
func (i *Inputs) Encrypted() []string {
	names := []string{}
	for n := range i.declared {
		if i.declared[n].encryption != nil {
			names = append(names, i.declared[n].name)
		}
	}
	return names
}

// Encrypt returns values, of a Completed, with those encrypted that are to be: objects as their JSON
// text. One that is absent or null stays so. The client secret is asked for only where it is needed.
// The error is our own.
func (i *Inputs) Encrypt(values *jqtemplate.Object, clientSecret string) (*jqtemplate.Object, error) {
	return i.encrypted(values, func(text string) (string, error) { return secret.EncryptInput(clientSecret, text) })
}

// Decrypt undoes Encrypt, with objects as their JSON text. The error is a fault.Invalid: of values that
// were encrypted under another secret.
func (i *Inputs) Decrypt(values *jqtemplate.Object, clientSecret string) (*jqtemplate.Object, error) {
	plain, err := i.encrypted(values, func(text string) (string, error) { return secret.DecryptInput(clientSecret, text) })
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "the inputs cannot be decrypted")
	}
	return plain, nil
}

// encrypted returns values with those that are encrypted here as f makes them.
func (i *Inputs) encrypted(values *jqtemplate.Object, f func(text string) (string, error)) (*jqtemplate.Object, error) {
	result := values
	for n := range i.declared {
		in := &i.declared[n]
		v := document.Member(values, in.name)
		if in.encryption == nil || in.encryption.client || v == nil {
			continue
		}
		text, ok := v.(string)
		if !ok {
			text = string(jqtemplate.Encode(v))
		}
		text, err := f(text)
		if err != nil {
			return nil, err
		}
		if result == values {
			result = clone(values)
		}
		result.Set(in.name, text)
	}
	return result, nil
}
