{{- define "headroom.labels" -}}
{{ include "headroom.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}

{{- define "headroom.selector" -}}
app.kubernetes.io/name: headroom
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Names of what is not in a namespace. */}}
{{- define "headroom.global" -}}
{{ .Release.Namespace }}-{{ .Release.Name }}
{{- end }}

{{- define "headroom.account" -}}
{{ .Values.serviceAccount.name | default .Release.Name }}
{{- end }}

{{/* How the API is spoken to: https where its configuration has a certificate. */}}
{{- define "headroom.scheme" -}}
{{ if dig "api" "tls" "cert" "" .Values.config }}https{{ else }}http{{ end }}
{{- end }}

{{/* The Secret with the certificate of the OTLP receivers; empty without TLS. */}}
{{- define "headroom.tls" -}}
{{- if .Values.tls.secret }}{{ .Values.tls.secret }}{{ else if .Values.tls.certManager.issuer }}{{ .Release.Name }}-tls{{ end }}
{{- end }}
