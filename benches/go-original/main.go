// Go-original is the pattern that adieu sets out from, faults included, to be measured beside it: two
// HTTP servers in an error group; SIGINT, SIGTERM or the failure of either server shuts both down.
//
// Its faults are on purpose: it says "listening" before it has bound, shuts its servers down one after the
// other, throws away what Shutdown returns, and swallows a second signal.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"
)

// group runs functions side by side and keeps the first error, like golang.org/x/sync/errgroup.
type group struct {
	running sync.WaitGroup
	failure sync.Once
	cancel  context.CancelFunc
	err     error
}

func (g *group) run(f func() error) {
	g.running.Add(1)
	go func() {
		defer g.running.Done()
		if err := f(); err != nil {
			g.failure.Do(func() {
				g.err = err
				g.cancel()
			})
		}
	}()
}

func (g *group) wait() error {
	g.running.Wait()
	g.cancel()
	return g.err
}

// listen is the repeatable flag --listen NAME=ADDR.
type listen []*http.Server

func (l *listen) String() string { return "" }

func (l *listen) Set(value string) error {
	name, addr, ok := strings.Cut(value, "=")
	if !ok {
		return errors.New("must be NAME=ADDR")
	}
	*l = append(*l, &http.Server{Addr: addr, Handler: hello(name)})
	return nil
}

var delay = flag.Duration("delay", 0, "every answer takes that long")

func hello(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if *delay > 0 {
			time.Sleep(*delay)
		}
		fmt.Fprintf(w, "Hello from %s", name)
	})
}

func main() {
	var servers listen
	flag.Var(&servers, "listen", "serve `NAME=ADDR`; replaces the default pair")
	grace := flag.Duration("grace", 10*time.Second, "how long a shutdown may take")
	flag.Parse()
	if len(servers) == 0 {
		servers.Set("server1=:8080")
		servers.Set("server2=:8081")
	}

	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	ctx, cancel := context.WithCancel(context.Background())
	g := &group{cancel: cancel}

	for i, server := range servers {
		i, server := i, server
		g.run(func() error {
			_, port, _ := net.SplitHostPort(server.Addr)
			log.Printf("server %d listening on port %s", i+1, port)
			if err := server.ListenAndServe(); err != http.ErrServerClosed {
				return err
			}
			return nil
		})
	}
	g.run(func() error {
		select {
		case <-signals:
		case <-ctx.Done():
		}
		log.Print("shutting down servers, please wait...")
		deadline, cancel := context.WithTimeout(context.Background(), *grace)
		defer cancel()
		for _, server := range servers {
			server.Shutdown(deadline)
		}
		return nil
	})

	if err := g.wait(); err != nil {
		log.Fatal(err)
	}
	log.Print("a graceful bye")
}
