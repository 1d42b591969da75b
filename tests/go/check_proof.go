// Checks a tlog-proof and a consistency proof with Go's own implementation of transparency logs:
// golang.org/x/mod/sumdb (Debian package golang-golang-x-mod-dev).
//
//	check_proof VKEY WITNESS_VKEY PROOF OLD_CHECKPOINT CONSISTENCY
//
// PROOF carries the entry as its extra data; CONSISTENCY has a hash in base64 on each line.
package main

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func read(name string) string {
	data, err := os.ReadFile(name)
	must(err)
	return string(data)
}

func hash(text string) (h tlog.Hash) {
	data, err := base64.StdEncoding.DecodeString(text)
	must(err)
	if copy(h[:], data) != len(h) || len(data) != len(h) {
		must(errors.New("not a hash: " + text))
	}
	return h
}

func hashes(lines []string) (all []tlog.Hash) {
	for _, line := range lines {
		all = append(all, hash(line))
	}
	return all
}

// A witness's key: cosignature/v1 of C2SP tlog-cosignature, which the note package leaves to its user.
type witness struct {
	name string
	id   uint32
	key  ed25519.PublicKey
}

func newWitness(vkey string) witness {
	pieces := strings.SplitN(vkey, "+", 3)
	data, err := base64.StdEncoding.DecodeString(pieces[2])
	must(err)
	if len(data) != 33 || data[0] != 4 {
		must(errors.New("not a witness's key"))
	}
	sum := sha256.Sum256(append([]byte(pieces[0]+"\n"), data...))
	return witness{pieces[0], binary.BigEndian.Uint32(sum[:]), data[1:]}
}

func (w witness) Name() string    { return w.name }
func (w witness) KeyHash() uint32 { return w.id }
func (w witness) Verify(msg, sig []byte) bool {
	if len(sig) != 72 {
		return false
	}
	seconds := binary.BigEndian.Uint64(sig)
	signed := fmt.Sprintf("cosignature/v1\ntime %d\n%s", seconds, msg)
	return ed25519.Verify(w.key, []byte(signed), sig[8:])
}

func open(text string, verifiers ...note.Verifier) (size int64, root tlog.Hash, signatures int) {
	opened, err := note.Open([]byte(text), note.VerifierList(verifiers...))
	must(err)
	lines := strings.Split(opened.Text, "\n")
	size, err = strconv.ParseInt(lines[1], 10, 64)
	must(err)
	return size, hash(lines[2]), len(opened.Sigs)
}

func main() {
	register, err := note.NewVerifier(os.Args[1])
	must(err)
	seen := newWitness(os.Args[2])
	proof := read(os.Args[3])

	at := strings.Index(proof, "\n\n")
	lines := strings.Split(proof[:at], "\n")
	if lines[0] != "c2sp.org/tlog-proof@v1" {
		must(errors.New("not a tlog-proof"))
	}
	entry, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(lines[1], "extra "))
	must(err)
	index, err := strconv.ParseInt(strings.TrimPrefix(lines[2], "index "), 10, 64)
	must(err)

	size, root, signatures := open(proof[at+2:], register, seen)
	must(tlog.CheckRecord(hashes(lines[3:]), size, root, index, tlog.RecordHash(entry)))
	fmt.Printf("entry %d of %d, %d signatures\n", index, size, signatures)

	oldSize, oldRoot, _ := open(read(os.Args[4]), register)
	steps := strings.Fields(read(os.Args[5]))
	must(tlog.CheckTree(hashes(steps), size, root, oldSize, oldRoot))
	fmt.Printf("%d is the beginning of %d\n", oldSize, size)
}
