#!/bin/sh
# Ceph 16.2 RADOS gateway as a throw-away S3 server on loopback.
#
#   radosgw.sh install
#   radosgw.sh start DIR PORT ACCESS SECRET BUCKET   (env: TLS=1, MEM=4 (GiB of data))
#   radosgw.sh stop DIR
#
# Three processes: one monitor (PORT+1), one OSD keeping its data in memory, and
# radosgw on PORT.  No manager, no cephx, no root, nothing outside DIR.
# DIR/log has the logs.
set -eu
. "$(dirname "$0")/processes.sh"
signal=KILL

install() {
	sh "$(dirname "$0")/../packages.sh" install radosgw
}

# ask COMMAND...: of the monitor. By the same race it refuses who asks before knowing whose
# monitor it is; what is asked here may be asked again.
ask() {
	i=0
	until timeout 120 ceph $c "$@"; do
		i=$((i + 1)); [ $i -lt 20 ] || return 1; sleep 0.2
	done
}

start() {
	[ $# = 5 ] || { echo "usage: $0 start DIR PORT ACCESS SECRET BUCKET" >&2; exit 2; }
	mkdir -p "$1"; dir=$(cd "$1" && pwd); port=$2 access=$3 secret=$4 bucket=$5
	cd "$dir"; stop "$dir"; rm -rf mon osd log run rgw pids; mkdir -p mon osd log run rgw
	trap 'exit 1' HUP INT TERM
	trap 'rc=$?; [ $rc = 0 ] || { tail -n 5 log/* >&2; stop "$dir"; }' EXIT
	fsid=$(cat /proc/sys/kernel/random/uuid) scheme=http listen="endpoint=127.0.0.1:$port"
	if [ "${TLS:-}" ]; then
		scheme=https listen="ssl_endpoint=127.0.0.1:$port ssl_certificate=$dir/tls.crt ssl_private_key=$dir/tls.key"
		openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=localhost \
			-addext subjectAltName=DNS:localhost,IP:127.0.0.1 \
			-keyout tls.key -out tls.crt 2>/dev/null
	fi
	cat > ceph.conf <<CONF
[global]
fsid = $fsid
mon_initial_members = a
mon_host = v1:127.0.0.1:$((port + 1))
ms_bind_msgr2 = false
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
ms_bind_port_min = $((port + 2))
ms_bind_port_max = $((port + 20))
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
keyring = $dir/keyring
run_dir = $dir/run
admin_socket = $dir/run/\$name.asok
crash_dir = $dir/run
log_file = $dir/log/\$name.log
mon_cluster_log_file = $dir/log/cluster.log
pid_file =
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 1
osd_pool_default_pgp_num = 1
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
paxos_propose_interval = 0.05
paxos_min_wait = 0.01
mon_max_pg_per_osd = 1000
[mon]
mon_data = $dir/mon
mon_data_avail_crit = 1
mon_data_avail_warn = 2
[osd]
osd_data = $dir/osd
osd_objectstore = memstore
memstore_device_bytes = $((${MEM:-4} * 1073741824))
osd_class_update_on_start = false
osd_crush_update_on_start = false
[client]
rgw_data = $dir/rgw
rgw_frontends = beast $listen
rgw_thread_pool_size = 64
rgw_enable_usage_log = false
rgw_enable_ops_log = false
rgw_gc_obj_min_wait = 2
rgw_gc_processor_period = 2
rgw_gc_processor_max_time = 2
rgw_crypt_require_ssl = false
rgw_crypt_s3_kms_backend = testing
rgw_crypt_s3_kms_encryption_keys = key1=MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=
CONF
	c="-c $dir/ceph.conf"
	: > keyring
	ceph-authtool keyring --gen-key -n client.admin >/dev/null
	monmaptool --create --clobber --fsid "$fsid" --addv a "[v1:127.0.0.1:$((port + 1))]" monmap >/dev/null
	ceph-mon $c --mkfs -i a --monmap monmap
	bg mon ceph-mon $c -f -i a
	ask osd new "$fsid" >/dev/null
	# place the OSD from here: when it does so itself at start, one start in three
	# died with "wrong fsid" (a race in 16.2 without cephx)
	ask osd crush add osd.0 1.0 root=default host=h 2>/dev/null
	ceph-osd $c -i 0 --mkfs --osd-uuid "$fsid" >log/mkfs.out 2>&1
	bg osd ceph-osd $c -f -i 0
	timeout 120 radosgw-admin $c user create --uid=test --display-name=test \
		--access-key="$access" --secret="$secret" >log/user.json 2>log/admin.out
	bg rgw radosgw $c -f -n client.admin
	url=$scheme://127.0.0.1:$port
	i=0
	until curl -ksf -o /dev/null "$url/"; do
		i=$((i + 1)); [ $i -lt 1200 ] || { echo "did not start" >&2; exit 1; }; sleep 0.1
	done
	curl -ksf -o /dev/null --aws-sigv4 aws:amz:us-east-1:s3 --user "$access:$secret" \
		-H 'x-amz-content-sha256: UNSIGNED-PAYLOAD' -X PUT "$url/$bucket"
	echo "endpoint=$url"
	echo "pids=$(tr '\n' ' ' < pids)"
}

bg() {
	n=$1; shift
	setsid "$@" >"log/$n.out" 2>&1 </dev/null &
	echo $! >> pids
}

ours() {
	case $1 in
	*ceph.conf*) return 0 ;;
	esac
	return 1
}

cmd=${1:-}; [ $# = 0 ] || shift
case $cmd in
install|start|stop) "$cmd" "$@" ;;
*) sed -n '2,8p' "$0"; exit 2 ;;
esac
