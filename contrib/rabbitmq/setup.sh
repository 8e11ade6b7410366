#!/bin/sh
# Makes the virtual host and the users of a fleet on RabbitMQ 4, with exactly the rights of docs/rabbitmq.md. May be run again: it
# sets what it would set. Passwords come on the standard input, one line, and appear in no command line.
#
#   setup.sh fleet VHOST GATEWAY-USER               <password    the virtual host, and the one user of all gateways
#   setup.sh service VHOST USER [TO…]               <password    one user for each service
#   setup.sh check VHOST                                         what is set there now
#
# TO is where a service may send: client (one client by its client_id), subject, tier, group, all. Without any: client subject.
# RABBITMQCTL is the command to use, rabbitmqctl by default; "kubectl exec -i rabbitmq-0 -- rabbitmqctl" will do as well. No options of
# rabbitmqctl itself in it: the node is named by RABBITMQ_NODENAME.
set -eu

ctl() { ${RABBITMQCTL:-rabbitmqctl} --quiet "$@"; }

# rabbitmqctl reads a password from its input only when it has exactly the command and the name.
secret() { printf '%s\n' "$password" | ${RABBITMQCTL:-rabbitmqctl} "$@" >/dev/null; }

die() {
  echo "setup.sh: $*" >&2
  exit 2
}

usage() {
  sed -n '5,12s/^# \{0,1\}//p' "$0" >&2
  exit 2
}

# A name that is a regular expression of itself: users and services are put into patterns.
plain() { case "$1" in '' | *[!A-Za-z0-9_-]*) die "'$1': a name has letters, digits, - and _" ;; esac; }

# user NAME: with the password of the standard input, and without any tag: no management.
user() {
  IFS= read -r password || [ -n "$password" ] || die "no password on the standard input"
  [ "${#password}" -ge 12 ] || die "a password has at least 12 characters"
  if ctl list_users --no-table-headers | cut -f1 | grep -qxF "$1"; then
    secret change_password "$1"
  else
    secret add_user "$1"
  fi
  ctl set_user_tags "$1"
}

fleet() {
  [ $# -eq 2 ] || usage
  plain "$2"
  ctl list_vhosts --no-table-headers | grep -qxF "$1" || ctl add_vhost "$1"
  user "$2"
  # Of gateways alone: logs, their exchanges, the queues for answers. amq.default is how records get into logs and answers to services.
  names='bannou\.(clients|sessions|groups|control|(slot|reply|link)\.[0-9a-f]{16})'
  ctl set_permissions -p "$1" "$2" "^$names\$" "^($names|amq\\.default)\$" "^$names\$"
  ctl clear_topic_permissions -p "$1" "$2"
}

service() {
  [ $# -ge 2 ] || usage
  vhost=$1 name=$2
  shift 2
  plain "$name"
  [ $# -gt 0 ] || set -- client subject
  keys=
  for to in "$@"; do
    case "$to" in
      client) key='[0-9a-f]{16}\.[^.]+\.[0-9]+' ;;
      subject | tier | group) key="$to\\..+" ;;
      all) key=all ;;
      *) die "'$to': a service sends to client, subject, tier, group, all" ;;
    esac
    keys="${keys:+$keys|}$key"
  done
  ctl list_vhosts --no-table-headers | grep -qxF "$vhost" || die "there is no virtual host '$vhost': run 'setup.sh fleet' first"
  user "$name"
  # Queues of its own: by its name, and those that the broker names.
  own="$name\\..+|amq\\.gen-.+"
  ctl set_permissions -p "$vhost" "$name" "^($own)\$" "^(bannou\\.clients|$own)\$" "^(bannou\\.sessions|$own)\$"
  ctl set_topic_permissions -p "$vhost" "$name" bannou.clients "^($keys)\$" '^$'
}

check() {
  [ $# -eq 1 ] || usage
  ctl list_permissions -p "$1"
  ctl list_topic_permissions -p "$1"
  ctl list_queues -p "$1" name type arguments
}

[ $# -gt 0 ] || usage
command=$1
shift
case "$command" in
  fleet | service | check) "$command" "$@" ;;
  *) usage ;;
esac
