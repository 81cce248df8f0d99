#!/bin/sh
# OpenStack Swift 2.30 + s3api as a throw-away S3 server on loopback.
#
#   swift.sh install
#   swift.sh start DIR PORT ACCESS SECRET BUCKET   (env: TLS=1, REGION=us-east-1,
#                                                   SSE=1 (encrypt at rest), LOG=WARNING)
#   swift.sh stop DIR
#
# Five processes: account/container/object servers and memcached on PORT+1..PORT+4
# (127.0.0.1 only), proxy on PORT.  DIR must be on a file system with user.* xattrs
# (ext4, xfs, tmpfs on Linux >= 6.6).  Everything lives in DIR: no /etc/swift, no
# root, no loop device.  DIR/log has one log per process.
set -eu
. "$(dirname "$0")/processes.sh"

install() {
	sh "$(dirname "$0")/../packages.sh" install swift
}

start() {
	[ $# = 5 ] || { echo "usage: $0 start DIR PORT ACCESS SECRET BUCKET" >&2; exit 2; }
	mkdir -p "$1"; dir=$(cd "$1" && pwd); port=$2 access=$3 secret=$4 bucket=$5
	region=${REGION:-us-east-1}
	cd "$dir"; stop "$dir"; rm -rf srv etc log pids; mkdir -p srv/d1 etc log
	trap 'exit 1' HUP INT TERM
	trap 'rc=$?; [ $rc = 0 ] || { tail -n 5 log/*.log >&2; stop "$dir"; }' EXIT

	# --- rings: one device, one replica, 16 partitions (what swift-ring-builder
	# create/add/rebalance would write, without starting Python nine times)
	/usr/bin/python3 - "$port" <<'PY'
import sys
from swift.common.ring import RingBuilder
for n, svc in enumerate(('account', 'container', 'object'), 1):
	b = RingBuilder(4, 1, 1)
	b.add_dev(dict(region=1, zone=1, ip='127.0.0.1', port=int(sys.argv[1]) + n, device='d1', weight=1.0))
	b.rebalance()
	b.get_ring().save('etc/%s.ring.gz' % svc)
PY

	# --- configuration
	printf '[swift-hash]\nswift_hash_path_suffix = test\nswift_hash_path_prefix = test\n' > etc/swift.conf
	common="bind_ip = 127.0.0.1
swift_dir = $dir/etc
devices = $dir/srv
mount_check = false
user = $(id -un)
fallocate_reserve = 0
log_level = ${LOG:-WARNING}
log_requests = false"
	n=1
	for svc in account container object; do
		printf '[DEFAULT]\n%s\nbind_port = %s\nworkers = 0\n[pipeline:main]\npipeline = %s\n[app:%s]\nuse = egg:swift#%s\nlog_requests = false\n' \
			"$common" $((port + n)) $svc-server $svc-server $svc > etc/$svc.conf
		n=$((n + 1))
	done
	tls= scheme=http
	if [ "${TLS:-}" ]; then
		scheme=https
		openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=localhost \
			-addext subjectAltName=DNS:localhost,IP:127.0.0.1 \
			-keyout tls.key -out tls.crt 2>/dev/null
		tls="cert_file = $dir/tls.crt
key_file = $dir/tls.key"
	fi
	cat > etc/proxy.conf <<CONF
[DEFAULT]
$common
bind_port = $port
workers = 0
$tls
[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck cache listing_formats s3api tempauth slo dlo versioned_writes copy ${SSE:+keymaster encryption} proxy-server
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:healthcheck]
use = egg:swift#healthcheck
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:$((port + 4))
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:s3api]
use = egg:swift#s3api
location = $region
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = $secret .admin
[filter:slo]
use = egg:swift#slo
[filter:dlo]
use = egg:swift#dlo
[filter:versioned_writes]
use = egg:swift#versioned_writes
allow_versioned_writes = true
[filter:copy]
use = egg:swift#copy
[filter:keymaster]
use = egg:swift#keymaster
encryption_root_secret = MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=
[filter:encryption]
use = egg:swift#encryption
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
error_suppression_interval = 0
CONF

	# --- launcher: the stock servers, with swift.conf taken from DIR, and with
	# ACCESS as an alias of tempauth's "test:tester" (tempauth names need a colon)
	cat > etc/run.py <<'PY'
import os, sys
etc, svc, access = sys.argv[1:4]
from swift.common import utils
utils.set_swift_dir(etc)
from swift.common.middleware import tempauth
init = tempauth.TempAuth.__init__
def aliased(self, app, conf):
	init(self, app, conf)
	self.users[access] = self.users['test:tester']
tempauth.TempAuth.__init__ = aliased
from swift.common.wsgi import run_wsgi
more = {}
if svc == 'object':
	from swift.obj.server import global_conf_callback
	more = {'global_conf_callback': global_conf_callback}
sys.exit(run_wsgi(os.path.join(etc, svc + '.conf'), svc + '-server', verbose=True, **more))
PY

	# --- processes
	memcached -l 127.0.0.1 -p $((port + 4)) -U 0 -m 16 -u "$(id -un)" >log/memcached.log 2>&1 </dev/null &
	echo $! > pids
	for svc in account container object proxy; do
		setsid /usr/bin/python3 "$dir/etc/run.py" "$dir/etc" $svc "$access" >log/$svc.log 2>&1 </dev/null &
		echo $! >> pids
	done
	url=$scheme://127.0.0.1:$port
	i=0
	until curl -ksf -o /dev/null "$url/healthcheck" && up $((port + 1)) && up $((port + 2)) && up $((port + 3)); do
		i=$((i + 1)); [ $i -lt 1200 ] || { echo "did not start" >&2; exit 1; }; sleep 0.1
	done
	# (curl 7.88 does not add x-amz-content-sha256 by itself)
	curl -ksf -o /dev/null --aws-sigv4 "aws:amz:$region:s3" --user "$access:$secret" \
		-H 'x-amz-content-sha256: UNSIGNED-PAYLOAD' -X PUT "$url/$bucket"
	echo "endpoint=$url"
	echo "pids=$(tr '\n' ' ' < pids)"
}

up() { curl -s -o /dev/null "http://127.0.0.1:$1/"; }

ours() {
	case $1 in
	*etc/run.py*|memcached*) return 0 ;;
	esac
	return 1
}

cmd=${1:-}; [ $# = 0 ] || shift
case $cmd in
install|start|stop) "$cmd" "$@" ;;
*) sed -n '2,9p' "$0"; exit 2 ;;
esac
