// A shop for Go with net/http; its spans come from otelhttp alone. See ../README.md.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/trace"
)

var client = http.Client{Transport: otelhttp.NewTransport(http.DefaultTransport)}

func get(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	_, err = io.Copy(io.Discard, answer.Body)
	return err
}

func main() {
	exporter, err := otlptracehttp.New(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	otel.SetTracerProvider(trace.NewTracerProvider(trace.WithBatcher(exporter)))
	otel.SetTextMapPropagator(propagation.TraceContext{})
	mux := http.NewServeMux()
	if len(os.Args) > 2 {
		mux.HandleFunc("GET /item/{id}", func(w http.ResponseWriter, r *http.Request) {
			for _, url := range []string{os.Args[2] + "/stock/" + r.PathValue("id"), os.Args[3] + "/charge"} {
				if err := get(r.Context(), url); err != nil {
					http.Error(w, err.Error(), http.StatusBadGateway)
					return
				}
			}
			fmt.Fprintln(w, "{}")
		})
	} else {
		mux.HandleFunc("GET /stock/{id}", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "{}") })
	}
	fmt.Println("ready")
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], otelhttp.NewHandler(mux, "server")))
}
