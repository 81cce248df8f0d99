#!/bin/sh
# Postfix as a throw-away stand-in for Amazon SES's SMTP interface, on loopback.
#
#   postfix.sh install
#   postfix.sh start DIR PORT USER PASSWORD CERTIFICATE KEY
#   postfix.sh client DIR PORT RELAY-PORT [USER PASSWORD CA]
#   postfix.sh stop DIR
#
# PORT offers STARTTLS, PORT+1 speaks TLS from the first byte. As at SES, only who has
# authenticated (PLAIN or LOGIN, under TLS) may send, to anyone, up to 40 MiB. Every recipient's
# copy is a file of its own in the Maildir DIR/mail, named by its Delivered-To header.
#
# As a client it takes what comes to PORT in clear, and passes it on to RELAY-PORT on loopback:
# in clear, or with USER under STARTTLS, after CA has vouched for "gw.test".
#
# All of configuration, queue and log lives in DIR, which the user "postfix" must be able to reach;
# nothing under /etc is written. Needs root: elsewhere it asks sudo.
set -eu

install() {
	sh "$(dirname "$0")/../packages.sh" install postfix
}

start() {
	[ $# = 6 ] || { echo "usage: $0 start DIR PORT USER PASSWORD CERTIFICATE KEY" >&2; exit 2; }
	prepare "$1"
	port=$2 user=$3 password=$4 certificate=$5 key=$6
	accounts
	{ common_cf; server_cf; } >etc/main.cf
	master_cf >etc/master.cf
	run
	echo "smtp=127.0.0.1:$port"
	echo "smtps=127.0.0.1:$((port + 1))"
	echo "mail=$dir/mail"
}

client() {
	[ $# = 3 ] || [ $# = 6 ] || {
		echo "usage: $0 client DIR PORT RELAY-PORT [USER PASSWORD CA]" >&2; exit 2; }
	prepare "$1"
	port=$2 relay=$3 user=${4:-} password=${5:-} ca=${6:-}
	{ common_cf; client_cf; } >etc/main.cf
	master_cf >etc/master.cf
	[ -z "$user" ] || (umask 077 && echo "[127.0.0.1]:$relay $user:$password" >etc/password)
	run
	echo "smtp=127.0.0.1:$port"
}

prepare() {
	mkdir -p "$1"
	dir=$(cd "$1" && pwd)
	stop "$dir"
	cd "$dir"
	rm -rf etc queue data mail log
	trap 'exit 1' HUP INT TERM
	trap 'rc=$?; [ $rc = 0 ] || { tail -n 5 log start.out >&2; stop "$dir"; }' EXIT
	mkdir -p etc/sasl queue data mail
	chmod 755 . etc etc/sasl queue mail
	chown postfix data
	owner=${SUDO_UID:-65534} group=${SUDO_GID:-65534}
	chown "$owner:$group" mail
}

run() {
	postfix -c "$dir/etc" start >start.out 2>&1
	i=0
	until greets "$port"; do
		i=$((i + 1)); [ $i -lt 1200 ] || { echo "did not start" >&2; exit 1; }; sleep 0.1
	done
}

# Cyrus SASL's own small database: one user in the realm that Postfix looks in.
accounts() {
	printf 'pwcheck_method: auxprop\nauxprop_plugin: sasldb\nmech_list: PLAIN LOGIN\nsasldb_path: %s\n' \
		"$dir/etc/sasl/sasldb2" >etc/sasl/smtpd.conf
	printf '%s' "$password" | saslpasswd2 -p -c -f "$dir/etc/sasl/sasldb2" -u relay.test "$user"
	chgrp postfix etc/sasl/sasldb2
	chmod 640 etc/sasl/sasldb2
}

common_cf() {
	cat <<-CONF
	compatibility_level = 3.6
	queue_directory = $dir/queue
	data_directory = $dir/data
	daemon_directory = /usr/lib/postfix/sbin
	command_directory = /usr/sbin
	shlib_directory = /usr/lib/postfix
	meta_directory = /etc/postfix
	maillog_file = $dir/log
	maillog_file_prefixes = $dir
	mydestination =
	inet_interfaces = 127.0.0.1
	inet_protocols = ipv4
	alias_maps =
	alias_database =
	local_recipient_maps =
	message_size_limit = 41943040
	smtpd_error_sleep_time = 0
	CONF
}

server_cf() {
	cat <<-CONF
	myhostname = relay.test
	mydomain = relay.test
	mynetworks =
	virtual_mailbox_limit = 0
	virtual_mailbox_domains = static:all
	virtual_mailbox_maps = static:mail/
	virtual_mailbox_base = $dir
	virtual_uid_maps = static:$owner
	virtual_gid_maps = static:$group
	smtpd_relay_restrictions = permit_sasl_authenticated, reject
	smtpd_sasl_auth_enable = yes
	smtpd_sasl_local_domain = relay.test
	smtpd_sasl_security_options = noanonymous
	smtpd_tls_security_level = may
	smtpd_tls_auth_only = yes
	smtpd_tls_cert_file = $certificate
	smtpd_tls_key_file = $key
	smtpd_tls_received_header = yes
	smtpd_sasl_authenticated_header = yes
	smtpd_tls_loglevel = 1
	CONF
}

client_cf() {
	cat <<-CONF
	myhostname = client.test
	mynetworks = 127.0.0.0/8
	smtpd_relay_restrictions = permit_mynetworks, reject
	smtpd_client_restrictions =
	relayhost = [127.0.0.1]:$relay
	default_transport = smtp
	disable_dns_lookups = yes
	CONF
	[ -z "$user" ] || cat <<-CONF
	smtp_tls_security_level = secure
	smtp_tls_secure_cert_match = gw.test
	smtp_tls_CAfile = $ca
	smtp_tls_loglevel = 1
	smtp_sasl_auth_enable = yes
	smtp_sasl_password_maps = texthash:$dir/etc/password
	smtp_sasl_security_options = noanonymous
	CONF
}

master_cf() {
	cat <<-CONF
	127.0.0.1:$port inet n - n - - smtpd
	${certificate:+127.0.0.1:$((port + 1)) inet n - n - - smtpd -o smtpd_tls_wrappermode=yes}
	smtp unix - - n - - smtp
	cleanup unix n - n - 0 cleanup
	qmgr unix n - n 300 1 qmgr
	tlsmgr unix - - n 1000? 1 tlsmgr
	rewrite unix - - n - - trivial-rewrite
	bounce unix - - n - 0 bounce
	defer unix - - n - 0 bounce
	trace unix - - n - 0 bounce
	verify unix - - n - 1 verify
	proxymap unix - - n - - proxymap
	virtual unix - n n - - virtual
	error unix - - n - - error
	retry unix - - n - - error
	anvil unix - - n - 1 anvil
	postlog unix-dgram n - n - 1 postlogd
	CONF
}

greets() {
	printf 'QUIT\r\n' | curl -s --max-time 2 "telnet://127.0.0.1:$1" 2>/dev/null | grep -q '^220 '
}

stop() {
	[ -f "$1/etc/main.cf" ] && [ -f "$1/queue/pid/master.pid" ] || return 0
	pid=$(tr -d ' ' <"$1/queue/pid/master.pid")
	postfix -c "$1/etc" stop >/dev/null 2>&1 || true
	i=0
	while [ -n "$pid" ] && [ -d "/proc/$pid" ] && [ $i -lt 100 ]; do i=$((i + 1)); sleep 0.05; done
}

cmd=${1:-}
case $cmd in
install|start|client|stop) ;;
*) sed -n '2,17p' "$0"; exit 2 ;;
esac
[ "$(id -u)" = 0 ] || exec sudo sh "$0" "$@"
shift
"$cmd" "$@"
