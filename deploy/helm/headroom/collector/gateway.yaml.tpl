{{- $tls := include "headroom.tls" . -}}
{{- $exporters := list "otlp/backend" -}}
# The configuration of an OpenTelemetry Collector (contrib) that sends every span to each of the {{ .Values.replicas }} replicas of
# headroom, beside where spans go already (here `otlp/backend`, which is yours). The chart makes it, in the ConfigMap
# RELEASE-collector; deploy/collector/gateway.yaml is what it makes by default.
#
# Each replica has an exporter and a queue of its own: one that is down or slow holds back nobody else, and gets what
# waited when it is back. Place headroom before any tail sampling: it counts requests.
receivers:
  otlp:
    protocols:
      grpc: {endpoint: "${env:POD_IP}:4317"}
      http: {endpoint: "${env:POD_IP}:4318"}

processors:
  memory_limiter: {check_interval: 1s, limit_percentage: 80, spike_limit_percentage: 20}
  # By these headroom knows which workload a service is. Needs deploy/collector/rbac.yaml.
  k8sattributes:
    auth_type: serviceAccount
    extract:
      metadata:
      - k8s.namespace.name
      - k8s.deployment.name
      - k8s.statefulset.name
      - k8s.pod.name
      - k8s.pod.uid
      - k8s.node.name
    pod_association:
    - sources: [{from: resource_attribute, name: k8s.pod.uid}]
    - sources: [{from: resource_attribute, name: k8s.pod.ip}]
    - sources: [{from: connection}]
  # headroom looks once a second; what is batched longer comes later.
  batch: {timeout: 200ms, send_batch_size: 2048}

exporters:
  otlp/backend:
    endpoint: {{ .Values.collector.backend }}
{{- range $replica := until (int .Values.replicas) }}
{{- $exporters = append $exporters (printf "otlp/headroom-%d" $replica) }}
  otlp/headroom-{{ $replica }}:
    {{- if eq $replica 0 }} &headroom{{ else }}
    <<: *headroom
    {{- end }}
    endpoint: {{ $.Release.Name }}-{{ $replica }}.{{ $.Release.Namespace }}.svc:4317
    {{- if eq $replica 0 }}
    # The key receive-token of the Secret {{ $.Values.tokens.secret }}, as a variable of the Collector's environment.
    headers: {authorization: "Bearer ${env:HEADROOM_RECEIVE_TOKEN}"}
    {{- if $tls }}
    tls:
      ca_file: /etc/otelcol/headroom/ca.crt # from the Secret {{ $tls }}
      {{- if $.Values.tls.clientCa }}
      cert_file: /etc/otelcol/headroom/tls.crt # a certificate of the Collector's own, signed by that CA
      key_file: /etc/otelcol/headroom/tls.key
      {{- end }}
    {{- else }}
    # Token and spans travel in the clear: within a network that you trust, or with the chart's tls.secret.
    tls: {insecure: true}
    {{- end }}
    compression: zstd
    # Older than this is of no use to a loop of seconds.
    retry_on_failure: {initial_interval: 200ms, max_interval: 2s, max_elapsed_time: 60s}
    sending_queue: {queue_size: 1000, num_consumers: 4}
    {{- end }}
{{- end }}

service:
  pipelines:
    traces:
      receivers: [otlp]
      processors: [memory_limiter, k8sattributes, batch]
      exporters: [{{ join ", " $exporters }}]
