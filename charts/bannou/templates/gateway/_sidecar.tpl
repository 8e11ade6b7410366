{{/* The sidecar: it calls the services, and brings their calls to the internal port. */}}
{{- define "bannou.daprAnnotations" -}}
{{- with .Values.gateway.dapr -}}
dapr.io/enabled: "true"
dapr.io/app-id: {{ .appId | quote }}
dapr.io/app-port: "9081"
dapr.io/app-protocol: http
{{- if .nativeSidecar }}
dapr.io/enable-native-sidecar: "true"
{{- else }}
dapr.io/block-shutdown-duration: "{{ include "bannou.leavingSeconds" $ }}s"
{{- end }}
dapr.io/graceful-shutdown-seconds: {{ .gracefulShutdownSeconds | quote }}
# Its Pod has no token for the API server.
dapr.io/disable-builtin-k8s-secret-store: "true"
dapr.io/sidecar-seccomp-profile-type: RuntimeDefault
dapr.io/log-as-json: {{ eq $.Values.gateway.logFormat "json" | quote }}
{{- with .appTokenSecret }}
dapr.io/app-token-secret: {{ . | quote }}
{{- end }}
{{- with .apiTokenSecret }}
dapr.io/api-token-secret: {{ . | quote }}
{{- end }}
{{- with .config }}
dapr.io/config: {{ . | quote }}
{{- end }}
{{- with .annotations }}
{{ toYaml . }}
{{- end }}
{{- end }}
{{- end }}

{{/* A name for the volume of an issuer's Secret: Secrets may have longer names, with dots. */}}
{{- define "bannou.issuerVolume" -}}
issuer-{{ sha256sum . | trunc 12 }}
{{- end }}
