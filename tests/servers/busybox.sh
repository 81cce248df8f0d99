#!/bin/sh
# BusyBox's sendmail, as routers and cameras have it: Debian's package leaves it out, so that it
# is built here, from Debian's source.
#
#   busybox.sh build DIR      DIR/sendmail; nothing is done where it is there already
set -eu

[ $# = 2 ] && [ "$1" = build ] || { sed -n '2,5p' "$0"; exit 2; }
mkdir -p "$2"
cd "$2"
[ ! -x sendmail ] || exit 0
rm -rf work
mkdir -p work/sources work/lists/partial work/tree
cd work
# From where this machine has its packages; its own list of sources is left as it is.
apt-get indextargets --format '$(SITE) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
	awk '$2 == "bookworm" && $3 == "main" { print $1; exit }' >site
[ -s site ] || { echo "no package source for Debian 12's main is set up" >&2; exit 1; }
cat >sources/debian.sources <<END
Types: deb-src
URIs: $(cat site)
Suites: bookworm
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
END
apt() {
	apt-get -q -o Dir::Etc::SourceList=/dev/null -o "Dir::Etc::SourceParts=$PWD/sources" \
		-o "Dir::State::Lists=$PWD/lists" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= \
		-o APT::Sandbox::User= -o Acquire::Retries=3 "$@"
}
apt update >log
apt source --download-only busybox >>log
tar -xf busybox_*.orig.tar.* -C tree --strip-components=1
cd tree
make allnoconfig >>../log
sed -i 's/.*CONFIG_SENDMAIL[ =].*/CONFIG_SENDMAIL=y/' .config
yes '' | make oldconfig >>../log
make busybox >>../log 2>&1 || { tail -n 20 ../log >&2; exit 1; }
mv busybox ../../sendmail
cd ../..
rm -rf work
