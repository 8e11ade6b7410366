{{/* Labels of every object. Takes {root, component}; no component: what belongs to both. */}}
{{- define "bannou.labels" -}}
app.kubernetes.io/name: bannou
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
app.kubernetes.io/part-of: bannou
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* What selects the Pods of a component. Takes {root, component}. Never changes in the life of a release. */}}
{{- define "bannou.selector" -}}
app.kubernetes.io/name: bannou
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* Takes {root, image}. */}}
{{- define "bannou.image" -}}
{{- with .root.Values.images.registry }}{{ trimSuffix "/" . }}/{{ end }}{{ .image.repository }}
{{- if .image.digest }}@{{ .image.digest }}{{ else }}:{{ .image.tag | default .root.Chart.AppVersion }}{{ end }}
{{- end }}

{{- define "bannou.operatorNamespace" -}}
{{- if .Values.operator.enabled }}{{ .Release.Namespace }}{{ else }}{{ .Values.operator.namespace }}{{ end }}
{{- end }}

{{/* What `restricted` asks of a Pod. */}}
{{- define "bannou.podSecurity" -}}
runAsNonRoot: true
{{- with .Values.runAs.user }}
runAsUser: {{ . }}
{{- end }}
{{- with .Values.runAs.group }}
runAsGroup: {{ . }}
{{- end }}
{{- with .Values.runAs.fsGroup }}
fsGroup: {{ . }}
fsGroupChangePolicy: OnRootMismatch
{{- end }}
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "bannou.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* The Secret with the operator's certificate; empty: the operator makes its own. */}}
{{- define "bannou.operatorTlsSecret" -}}
{{- if .Values.operator.enabled -}}
{{- .Values.operator.tls.secretName | default (ternary "bannou-operator-tls" "" .Values.operator.tls.certManager.enabled) }}
{{- end }}
{{- end }}

{{/* The Secret with the certificate that clients see; empty: no TLS. */}}
{{- define "bannou.gatewayTlsSecret" -}}
{{- .Values.gateway.tls.secretName | default (ternary "bannou-gateway-tls" "" .Values.gateway.tls.certManager.enabled) }}
{{- end }}

{{/* The name that clients dial, where a value says it. */}}
{{- define "bannou.publicHost" -}}
{{- $hosts := concat (list) (.Values.gateway.tls.certManager.dnsNames | default list) (.Values.gateway.httpRoute.hostnames | default list) (.Values.gateway.ingress.hosts | default list) -}}
{{- (.Values.test | default dict).host | default (first $hosts) | default "" }}
{{- end }}

{{/* Seconds from the end of the drain until everything is written down and the process has ended. */}}
{{- define "bannou.farewellSeconds" -}}10{{- end }}

{{/* How long the gateway itself may take to end. */}}
{{- define "bannou.leavingSeconds" -}}
{{- add .Values.gateway.preStopSeconds .Values.gateway.drainSeconds (include "bannou.farewellSeconds" . | int) }}
{{- end }}

{{- define "bannou.graceSeconds" -}}
{{- $sidecar := ternary .Values.gateway.dapr.gracefulShutdownSeconds 0 .Values.gateway.dapr.enabled | int -}}
{{- add (include "bannou.leavingSeconds" . | int) $sidecar }}
{{- end }}

{{/* Names of the Secrets with keys of issuers, as JSON {names: […]}: each once, in a fixed order. */}}
{{- define "bannou.issuerSecrets" -}}
{{- $names := .Values.gateway.issuerSecrets -}}
{{- if .Values.fleet.enabled -}}
{{- range (.Values.fleet.spec.issuers | default list) -}}
{{- with ((.keys | default dict).secretRef | default dict).name -}}
{{- $names = append $names . -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- dict "names" ($names | uniq | sortAlpha) | toJson }}
{{- end }}

{{/* What belongs to a Pod whatever runs in it. Takes {root, component, values}. */}}
{{- define "bannou.placement" -}}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .root.Values.images.pullSecrets }}
imagePullSecrets:
{{- range . }}
- name: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{/* Settings that contradict each other, or are missing together: said before anything is made. */}}
{{- define "bannou.check" -}}
{{- if and (not .Values.operator.enabled) (not .Values.operator.namespace) }}
{{- fail "operator.enabled is false: set operator.namespace to where the operator of this cluster runs" }}
{{- end }}
{{- if and .Values.operator.enabled .Values.operator.namespace (ne .Values.operator.namespace .Release.Namespace) }}
{{- fail "operator.namespace is where another release's operator runs: set operator.enabled to false, or leave it empty" }}
{{- end }}
{{- with .Values.operator.tls.certManager }}
{{- if and .enabled (not .issuerRef.name) }}
{{- fail "operator.tls.certManager.enabled needs operator.tls.certManager.issuerRef.name" }}
{{- end }}
{{- end }}
{{- with .Values.gateway.tls.certManager }}
{{- if and .enabled (not .issuerRef.name) }}
{{- fail "gateway.tls.certManager.enabled needs gateway.tls.certManager.issuerRef.name" }}
{{- end }}
{{- if and .enabled (not .dnsNames) }}
{{- fail "gateway.tls.certManager.enabled needs gateway.tls.certManager.dnsNames: the names that clients dial" }}
{{- end }}
{{- end }}
{{- with .Values.gateway.broker }}
{{- if and .urls .urlSecret.name }}
{{- fail "gateway.broker.urls and gateway.broker.urlSecret both say where the broker is: remove one" }}
{{- end }}
{{- if and (or .passwordSecret.name .ca.secret .ca.configMap) (not .urls) (not .urlSecret.name) }}
{{- fail "gateway.broker.passwordSecret and gateway.broker.ca need gateway.broker.urls or gateway.broker.urlSecret" }}
{{- end }}
{{- if and .ca.secret .ca.configMap }}
{{- fail "gateway.broker.ca is a secret or a configMap: remove one" }}
{{- end }}
{{- end }}
{{- with .Values.gateway.operator.ca }}
{{- if and .secret .configMap }}
{{- fail "gateway.operator.ca is a secret or a configMap: remove one" }}
{{- end }}
{{- end }}
{{- with .Values.gateway.service }}
{{- if and .nodePort (eq .type "ClusterIP") }}
{{- fail "gateway.service.nodePort needs gateway.service.type NodePort or LoadBalancer" }}
{{- end }}
{{- end }}
{{- with .Values.test }}
{{- if and .ca.secret .ca.configMap }}
{{- fail "test.ca is a secret or a configMap: remove one" }}
{{- end }}
{{- end }}
{{- if and .Values.gateway.internal.enabled (not .Values.gateway.internal.tokensSecret) }}
{{- fail "gateway.internal.enabled needs gateway.internal.tokensSecret: without tokens every call to the port is 401" }}
{{- end }}
{{- if and .Values.gateway.httpRoute.enabled (not .Values.gateway.httpRoute.parentRefs) }}
{{- fail "gateway.httpRoute.enabled needs gateway.httpRoute.parentRefs: the Gateway that it belongs to" }}
{{- end }}
{{- if and .Values.gateway.ingress.enabled (not .Values.gateway.ingress.hosts) }}
{{- fail "gateway.ingress.enabled needs gateway.ingress.hosts" }}
{{- end }}
{{- with .Values.gateway.autoscaling }}
{{- if and .enabled (not .cpu) (not (.connections | default dict).metric) }}
{{- fail "gateway.autoscaling.enabled needs gateway.autoscaling.connections or gateway.autoscaling.cpu" }}
{{- end }}
{{- if lt (int .maxReplicas) (int .minReplicas) }}
{{- fail "gateway.autoscaling.maxReplicas is less than minReplicas" }}
{{- end }}
{{- end }}
{{- end }}
