{{- define "headroom.labels" -}}
{{ include "headroom.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}

{{- define "headroom.selector" -}}
app.kubernetes.io/name: headroom
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Names of what is not in a namespace: two releases may be in one cluster. */}}
{{- define "headroom.global" -}}
{{ .Release.Namespace }}-{{ .Release.Name }}
{{- end }}
