{{- define "crosswire.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "crosswire.config" -}}
{{- $names := list .Release.Name }}
{{- range list "" ".svc" ".svc.cluster.local" }}
{{- $names = append $names (printf "%s.%s%s" $.Release.Name $.Release.Namespace .) }}
{{- end }}
{{- $hosts := concat (.Values.config.hosts | default list) $names | uniq }}
{{- $config := merge (dict "hosts" $hosts) .Values.config }}
{{- if .Values.state }}{{ $config = merge (dict "state" .Values.state) $config }}{{ end }}
{{- toYaml $config }}
{{- end }}
