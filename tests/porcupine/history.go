package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
)

// A history is a file of JSON lines, each with one of the members of `line`. Times are nanoseconds of one clock.
type line struct {
	Start *start     `json:"start"`
	Op    *operation `json:"op"`
	Watch *watch     `json:"watch"`
}

// start is what the store held before the first operation.
type start struct {
	Revision int64 `json:"revision"`
	KVs      []kv  `json:"kvs"`
}

type kv struct {
	Key     string `json:"key"`
	Value   string `json:"value"`
	Create  int64  `json:"create"`
	Mod     int64  `json:"mod"`
	Version int64  `json:"version"`
	Lease   int64  `json:"lease"`
}

// operation is one call of a client. Its outcome is unknown if it has no response and was not refused: it may have
// taken effect at any time after the call, or never.
type operation struct {
	Client   int       `json:"client"`
	Member   string    `json:"member"`
	Call     int64     `json:"call"`
	Return   int64     `json:"return"`
	Request  request   `json:"request"`
	Response *response `json:"response"`
	// Refused are words of the store which say that the call has no effect.
	Refused string `json:"refused"`
}

// request is a transaction, whatever the call was: a put is one without a compare.
type request struct {
	Compare *compare `json:"compare"`
	Success []action `json:"success"`
	Failure []action `json:"failure"`
	// Serializable reads may be old; At reads an old revision.
	Serializable bool  `json:"serializable"`
	At           int64 `json:"at"`
	// Revoke is the lease to revoke; Compact the revision up to which history goes.
	Revoke  int64 `json:"revoke"`
	Compact int64 `json:"compact"`
}

// compare holds if the key has this mod revision; 0 is absence.
type compare struct {
	Key string `json:"key"`
	Mod int64  `json:"mod"`
}

// action is a put, a delete or a range of one key or of [Key, End).
type action struct {
	Kind  string `json:"kind"`
	Key   string `json:"key"`
	End   string `json:"end"`
	Value string `json:"value"`
	Lease int64  `json:"lease"`
}

type response struct {
	Revision  int64    `json:"revision"`
	Succeeded bool     `json:"succeeded"`
	Results   []result `json:"results"`
}

type result struct {
	KVs     []kv  `json:"kvs"`
	Deleted int64 `json:"deleted"`
}

// watch is one watch with all that was heard of it.
type watch struct {
	Client    int             `json:"client"`
	Member    string          `json:"member"`
	Key       string          `json:"key"`
	End       string          `json:"end"`
	Start     int64           `json:"start"`
	PrevKV    bool            `json:"prev_kv"`
	NoPut     bool            `json:"no_put"`
	NoDelete  bool            `json:"no_delete"`
	Responses []watchResponse `json:"responses"`
}

type watchResponse struct {
	Revision int64   `json:"revision"`
	Created  bool    `json:"created"`
	Canceled bool    `json:"canceled"`
	Compact  int64   `json:"compact"`
	Fragment bool    `json:"fragment"`
	Events   []event `json:"events"`
}

// event is a put, or a delete: then KV has key and mod only.
type event struct {
	Delete bool `json:"delete"`
	KV     kv   `json:"kv"`
	Prev   *kv  `json:"prev"`
}

type history struct {
	start   start
	ops     []*operation
	watches []*watch
}

func read(path string) (*history, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	h := &history{}
	scanner := bufio.NewScanner(file)
	scanner.Buffer(make([]byte, 1<<20), 1<<30)
	for number := 1; scanner.Scan(); number++ {
		var l line
		if err := json.Unmarshal(scanner.Bytes(), &l); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, number, err)
		}
		switch {
		case l.Start != nil:
			h.start = *l.Start
		case l.Op != nil:
			h.ops = append(h.ops, l.Op)
		case l.Watch != nil:
			h.watches = append(h.watches, l.Watch)
		default:
			return nil, fmt.Errorf("%s:%d: neither start, op nor watch", path, number)
		}
	}
	return h, scanner.Err()
}

// within tells whether a key lies in a range as etcd writes it: no end is the key alone, "\x00" no upper end.
func within(key, from, end string) bool {
	switch end {
	case "":
		return key == from
	case "\x00":
		return key >= from
	}
	return key >= from && key < end
}
