#!/usr/bin/env bash
# Starts the API server of the node; run inside of it, again after it was stopped. Its process is in $STATE/run/apiserver.pid.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
pki=$STATE/pki
setsid "$CONTROL_PLANE/kube-apiserver" --etcd-servers=http://127.0.0.1:2379 --service-cluster-ip-range="$SERVICES" \
  --advertise-address="$NODE_IP" --bind-address=0.0.0.0 --secure-port=6443 \
  --client-ca-file="$pki/ca.crt" --tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key" \
  --kubelet-client-certificate="$pki/apiserver-kubelet.crt" --kubelet-client-key="$pki/apiserver-kubelet.key" \
  --kubelet-certificate-authority="$pki/ca.crt" --kubelet-preferred-address-types=InternalIP \
  --service-account-key-file="$pki/accounts.pub" --service-account-signing-key-file="$pki/accounts.key" \
  --service-account-issuer=https://kubernetes.default.svc.cluster.local \
  --requestheader-client-ca-file="$pki/front-ca.crt" --requestheader-allowed-names=front-proxy-client \
  --requestheader-extra-headers-prefix=X-Remote-Extra- --requestheader-group-headers=X-Remote-Group \
  --requestheader-username-headers=X-Remote-User --proxy-client-cert-file="$pki/front.crt" --proxy-client-key-file="$pki/front.key" \
  --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --allow-privileged=true \
  >>"$STATE/logs/apiserver.log" 2>&1 </dev/null &
echo $! >"$STATE/run/apiserver.pid"
