#!/bin/sh
# The Debian 12 packages that Stowage needs, in one place.
#
#   packages.sh list GROUP...
#   packages.sh install GROUP...    only what is missing; as root, or by sudo
#
# Groups: build (compiler and libraries), demo (conf/demo.sh), test (tests/run.sh), and the
# real servers of the tests: radosgw, swift, postfix. No installed service is started.
set -eu

list() {
	for group in "$@"; do
		case $group in
		# libetpan-dev depends on libcurl4-gnutls-dev, which excludes the OpenSSL flavour
		build) echo gcc libc6-dev meson ninja-build pkg-config python3 \
			libglib2.0-dev libssl-dev libgmime-3.0-dev \
			libcurl4-gnutls-dev libuv1-dev libc-ares-dev libyaml-dev libsqlite3-dev \
			libjansson-dev libmicrohttpd-dev libgnutls28-dev libcrypt-dev libsystemd-dev \
			libidn2-dev libytnef0-dev libetpan-dev libcmocka-dev ;;
		demo) echo curl openssl python3 swaks libnet-ssleay-perl ;;
		test) echo clang libclang-rt-14-dev llvm-14 valgrind binutils curl openssl \
			swaks libnet-ssleay-perl msmtp s-nail nodejs node-nodemailer \
			make bzip2 e2fsprogs libdb5.3 libgnutls-dane0 libidn12 libnsl2 libnss-wrapper \
			python3-pytest \
			python3-pytest-xdist python3-pytest-timeout python3-yaml python3-botocore \
			python3-cryptography chromium chromium-driver ;;
		radosgw) echo radosgw ceph-mon ceph-osd curl openssl ;;
		swift) echo swift-proxy swift-account swift-container swift-object memcached \
			curl openssl ;;
		postfix) echo postfix sasl2-bin libsasl2-modules libsasl2-modules-db curl ;;
		*) echo "$0: there is no group $group" >&2; return 2 ;;
		esac
	done
}

missing() {
	for package in "$@"; do
		case $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) in
		*' installed') ;;
		*) echo "$package" ;;
		esac
	done
}

apt() {
	DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 \
		-o Acquire::Retries=3 "$@"
}

again() {
	for pause in 5 15 0; do
		"$@" && return 0
		sleep $pause
	done
	return 1
}

install() {
	packages=$(list "$@")
	wanted=$(missing $packages)
	[ "$wanted" ] || return 0
	[ "$(id -u)" = 0 ] || exec sudo sh "$0" install "$@"
	echo "installing" $wanted
	# A policy that forbids starting services, unless the machine has one already
	policy=/usr/sbin/policy-rc.d
	if [ ! -e $policy ]; then
		printf '#!/bin/sh\nexit 101\n' >$policy
		chmod 755 $policy
		trap 'rm -f $policy' EXIT
		trap 'exit 1' HUP INT TERM
	fi
	echo 'postfix postfix/main_mailer_type select No configuration' | debconf-set-selections
	again apt update
	again apt install -y --no-install-recommends $wanted
}

cmd=${1:-}
case $cmd in
list|install) shift; "$cmd" "$@" ;;
*) sed -n '2,8p' "$0"; exit 2 ;;
esac
