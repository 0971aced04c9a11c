// What a page with the OpenTelemetry web SDK does: its fetches are spans, each the root of its trace. Bundled by esbuild.
import { ZoneContextManager } from "@opentelemetry/context-zone";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { registerInstrumentations } from "@opentelemetry/instrumentation";
import { FetchInstrumentation } from "@opentelemetry/instrumentation-fetch";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BatchSpanProcessor, WebTracerProvider } from "@opentelemetry/sdk-trace-web";

const { collector, shop, every } = window.settings;
const provider = new WebTracerProvider({
  resource: resourceFromAttributes({ "service.name": "web" }),
  spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter({ url: `${collector}/v1/traces` }), { scheduledDelayMillis: 500 })],
});
provider.register({ contextManager: new ZoneContextManager() });
registerInstrumentations({
  instrumentations: [new FetchInstrumentation({ propagateTraceHeaderCorsUrls: [/.*/], ignoreUrls: [/v1\/traces/] })],
});
let number = 0;
setInterval(() => fetch(`${shop}/item/${++number}`).catch(() => {}), every);
