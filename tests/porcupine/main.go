// Porcupine checks a recorded history of an etcd store: that all operations have an order that explains every answer
// (linearizability), that no acknowledged write is lost, that revisions never go back, and that watches kept their
// promises. It knows nothing of Raftsman and is tested against etcd itself.
//
//	porcupine HISTORY        exit 0: kept; 1: broken, each violation on a line; 2: the history cannot be read
package main

import (
	"fmt"
	"os"
)

// reportMax is how many violations of one history are printed.
const reportMax = 20

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: porcupine HISTORY")
		os.Exit(2)
	}
	h, err := read(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	violations := 0
	fail := func(format string, args ...any) {
		if violations++; violations <= reportMax {
			fmt.Printf("violation: "+format+"\n", args...)
		}
	}
	log := collect(h, fail)
	heard := checkWatches(h, log, fail)
	reads := checkOldReads(h, log, fail)
	checkRevisions(h, fail)
	placed := settle(h, log, fail)
	chunks := split(placed, fail)
	// An order that contradicts the log is searched for long and explains nothing more.
	if violations == 0 {
		checkChunks(h, log, chunks, fail)
	}
	if violations > 0 {
		fmt.Printf("%d violations\n", violations)
		os.Exit(1)
	}
	unknown := 0
	for _, op := range h.ops {
		if op.Response == nil && op.Refused == "" {
			unknown++
		}
	}
	fmt.Printf("ok: %d operations (%d without an answer), %d old reads, %d watches with %d events, revisions %d to %d, %d chunks\n",
		len(h.ops), unknown, reads, len(h.watches), heard, log.first, log.last, len(chunks))
}
