{{- define "almanac.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "almanac.selectorLabels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: worker
{{- end -}}

{{/* Without versions, so that a chart that changes nothing else restarts no pod. */}}
{{- define "almanac.podLabels" -}}
{{ include "almanac.selectorLabels" . }}
{{- with .Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "almanac.labels" -}}
{{ include "almanac.podLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "almanac.metadata" -}}
name: {{ include "almanac.fullname" . }}
namespace: {{ .Release.Namespace }}
labels:
  {{- include "almanac.labels" . | nindent 2 }}
{{- end -}}

{{- define "almanac.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "almanac.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "almanac.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The ConfigMap with the definitions; empty with git-sync. */}}
{{- define "almanac.configMap" -}}
{{- if not .Values.definitions.gitSync.repo -}}
{{- .Values.definitions.configMap | default (printf "%s-definitions" (include "almanac.fullname" .)) -}}
{{- end -}}
{{- end -}}

{{/* The project, the connection to Temporal and the codec, for the worker and for commands. */}}
{{- define "almanac.env" -}}
- name: ALMANAC_PROJECT
  value: {{ .Values.project | quote }}
{{- with .Values.temporal }}
- name: TEMPORAL_ADDRESS
  value: {{ .address | quote }}
- name: TEMPORAL_NAMESPACE
  value: {{ .namespace | quote }}
{{- if .apiKey.secret }}
- name: TEMPORAL_API_KEY_FILE
  value: {{ printf "/etc/almanac/temporal-api-key/%s" .apiKey.key | quote }}
{{- end }}
{{- with .tls }}
{{- if or .enabled .serverName .clientSecret .caSecret $.Values.temporal.apiKey.secret }}
- name: TEMPORAL_TLS
  value: "true"
{{- end }}
{{- if .serverName }}
- name: TEMPORAL_TLS_SERVER_NAME
  value: {{ .serverName | quote }}
{{- end }}
{{- if .clientSecret }}
- name: TEMPORAL_TLS_CLIENT_CERT_PATH
  value: /etc/almanac/temporal-client/tls.crt
- name: TEMPORAL_TLS_CLIENT_KEY_PATH
  value: /etc/almanac/temporal-client/tls.key
{{- end }}
{{- if .caSecret }}
- name: TEMPORAL_TLS_SERVER_CA_CERT_PATH
  value: {{ printf "/etc/almanac/temporal-ca/%s" .caKey | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- if .Values.codec.keys.secret }}
- name: ALMANAC_CODEC_KEY_FILE
  value: {{ printf "/etc/almanac/codec-keys/%s" .Values.codec.keys.key | quote }}
{{- end }}
{{- end -}}

{{/*
The Secrets that are mounted, as YAML: the name of the folder below /etc/almanac, and the Secret.
Whole Secrets are mounted, because the kubelet does not update a mounted `subPath`.
*/}}
{{- define "almanac.commandSecrets" -}}
{{- with .Values.temporal.apiKey.secret }}
temporal-api-key: {{ . | quote }}
{{- end }}
{{- with .Values.temporal.tls.clientSecret }}
temporal-client: {{ . | quote }}
{{- end }}
{{- with .Values.temporal.tls.caSecret }}
temporal-ca: {{ . | quote }}
{{- end }}
{{- with .Values.codec.keys.secret }}
codec-keys: {{ . | quote }}
{{- end }}
{{- end -}}

{{- define "almanac.workerSecrets" -}}
{{- include "almanac.commandSecrets" . }}
{{- with .Values.nats.credentials.secret }}
nats-credentials: {{ . | quote }}
{{- end }}
{{- with .Values.nats.tls.clientSecret }}
nats-client: {{ . | quote }}
{{- end }}
{{- with .Values.nats.tls.caSecret }}
nats-ca: {{ . | quote }}
{{- end }}
{{- with .Values.auth.tokens.secret }}
auth-tokens: {{ . | quote }}
{{- end }}
{{- end -}}

{{/* Volumes of a map of folders to Secrets. The group of the pod may read them. */}}
{{- define "almanac.secretVolumes" -}}
{{- range $name, $secret := . }}
- name: {{ $name }}
  secret:
    secretName: {{ $secret }}
    defaultMode: 0440
{{- end }}
{{- end -}}

{{- define "almanac.secretMounts" -}}
{{- range $name, $secret := . }}
- name: {{ $name }}
  mountPath: /etc/almanac/{{ $name }}
  readOnly: true
{{- end }}
{{- end -}}

{{/* What git-sync is told both before the worker starts and beside it. */}}
{{- define "almanac.gitSync" -}}
{{- with .Values.definitions.gitSync -}}
image: {{ .image.repository }}:{{ .image.tag }}
imagePullPolicy: {{ .image.pullPolicy }}
securityContext:
  {{- with .runAsUser }}
  # The user of the image: its SSH client needs one that has a name.
  runAsUser: {{ int64 . }}
  {{- end }}
  {{- toYaml $.Values.securityContext | nindent 2 }}
resources:
  {{- toYaml .resources | nindent 2 }}
volumeMounts:
  - name: definitions
    mountPath: /git
  # Its home.
  - name: git-home
    mountPath: /tmp
  {{- if or .sshSecret .passwordSecret }}
  - name: git-secret
    mountPath: /etc/git-secret
    readOnly: true
  {{- end }}
env:
  - name: GITSYNC_REPO
    value: {{ .repo | quote }}
  - name: GITSYNC_REF
    value: {{ .ref | quote }}
  - name: GITSYNC_ROOT
    value: /git
  - name: GITSYNC_LINK
    value: current
  - name: GITSYNC_DEPTH
    value: "1"
  {{- if .sshSecret }}
  - name: GITSYNC_SSH_KEY_FILE
    value: /etc/git-secret/ssh
  - name: GITSYNC_SSH_KNOWN_HOSTS_FILE
    value: /etc/git-secret/known_hosts
  {{- else if .passwordSecret }}
  - name: GITSYNC_USERNAME
    valueFrom:
      secretKeyRef:
        name: {{ .passwordSecret }}
        key: username
  - name: GITSYNC_PASSWORD_FILE
    value: /etc/git-secret/password
  {{- end }}
{{- end }}
{{- end -}}
