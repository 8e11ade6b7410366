#!/usr/bin/env bash
# certificates.sh FOLDER NODE_IP: certificates and kubeconfigs of a cluster, made anew for each.
set -euo pipefail
mkdir -p "$1"
cd "$1"
node_ip=$2
key=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes)

authority() { # NAME
  openssl req -x509 "${key[@]}" -keyout "$1.key" -out "$1.crt" -days 3650 -subj "/CN=$1" \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign,digitalSignature 2>/dev/null
}

leaf() { # NAME AUTHORITY SUBJECT [NAMES]
  openssl req "${key[@]}" -keyout "$1.key" -out "$1.csr" -subj "$3" 2>/dev/null
  {
    echo "basicConstraints=CA:FALSE"
    echo "keyUsage=digitalSignature,keyEncipherment"
    echo "extendedKeyUsage=serverAuth,clientAuth"
    [ -z "${4:-}" ] || echo "subjectAltName=$4"
  } >"$1.ext"
  openssl x509 -req -in "$1.csr" -CA "$2.crt" -CAkey "$2.key" -CAcreateserial -out "$1.crt" -days 3650 -extfile "$1.ext" 2>/dev/null
  rm -f "$1.csr" "$1.ext"
}

authority ca
authority front-ca
names=DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local
leaf apiserver ca /CN=kube-apiserver "IP:127.0.0.1,IP:10.96.0.1,IP:$node_ip,$names"
leaf apiserver-kubelet ca /O=system:masters/CN=kube-apiserver-kubelet-client
leaf front front-ca /CN=front-proxy-client
leaf admin ca /O=system:masters/CN=admin
leaf controller-manager ca /CN=system:kube-controller-manager
leaf scheduler ca /CN=system:kube-scheduler
leaf proxy ca /CN=system:kube-proxy
leaf router ca /CN=kube-router
leaf kubelet ca /O=system:nodes/CN=system:node:node "IP:$node_ip,IP:127.0.0.1,DNS:node"
openssl ecparam -name prime256v1 -genkey -noout -out accounts.key 2>/dev/null
openssl ec -in accounts.key -pubout -out accounts.pub 2>/dev/null
for name in admin controller-manager scheduler proxy router kubelet; do
  cat >"$name.kubeconfig" <<END
apiVersion: v1
kind: Config
clusters: [{name: node, cluster: {server: "https://$node_ip:6443", certificate-authority-data: $(base64 -w0 ca.crt)}}]
users: [{name: node, user: {client-certificate-data: $(base64 -w0 "$name.crt"), client-key-data: $(base64 -w0 "$name.key")}}]
contexts: [{name: node, context: {cluster: node, user: node}}]
current-context: node
END
done
chmod 600 ./*.key ./*.kubeconfig
