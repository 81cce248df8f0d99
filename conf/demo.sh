#!/bin/sh
# Stowage's whole job on this machine, without any account: builds it, starts a sandbox, sends
# a mail with three attachments over STARTTLS, shows what became of it and follows each link.
#
#   sh conf/demo.sh           about a minute the first time, then a second
#   sh conf/demo.sh --stay    leaves the sandbox running, to send it more
#
# Debian 12. STOWAGE_BUILD=DIR takes a build that is there instead of making one.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
stay=
case ${1:-} in
'') ;;
--stay) stay=1 ;;
*) sed -n '2,8p' "$0"; exit 2 ;;
esac

if [ -t 1 ]; then
	bold=$(printf '\033[1m') dim=$(printf '\033[2m') plain=$(printf '\033[0m')
else
	bold='' dim='' plain=''
fi
title() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
die() { echo "demo: $*" >&2; exit 1; }

pid=
dir=$(mktemp -d "${TMPDIR:-/tmp}/stowage-demo.XXXXXX")
clean_up() {
	status=$?
	trap '' HUP INT TERM
	if [ "$pid" ]; then
		kill "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	fi
	[ $status = 0 ] || [ ! -f "$dir/log" ] || { echo "The gateway's log:"; tail -n 20 "$dir/log"; } >&2
	rm -rf "$dir"
	exit $status
}
trap clean_up EXIT
trap 'exit 130' HUP INT TERM

# ---- build ----

build=${STOWAGE_BUILD:-}
if [ -z "$build" ]; then
	build=$root/build
	title 'Building'
	sh "$root/tests/packages.sh" install build demo
	{
		[ -f "$build/build.ninja" ] || meson setup "$build" "$root"
		ninja -C "$build" gateway/stowage
	} >"$dir/build.out" 2>&1 || { tail -n 40 "$dir/build.out" >&2; die 'it does not build'; }
	echo "$build/gateway/stowage"
fi
stowage=$build/gateway/stowage
[ -x "$stowage" ] || die "there is no $stowage"

# ---- a sandbox ----

set -- $(/usr/bin/python3 -c '
import socket
free = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
print(*(s.getsockname()[1] for s in free))')
smtp=127.0.0.1:$1 http=127.0.0.1:$2 admin=127.0.0.1:$3
box=$dir/sandbox certificate=$dir/sandbox/tls/cert.pem

logged() { # EVENT: waits until it stands in the log
	i=0
	until grep -q "\"event\":\"$1\"" "$dir/log"; do
		kill -0 "$pid" 2>/dev/null || die "the gateway has ended before $1"
		i=$((i + 1))
		[ $i -lt 300 ] || die "no $1 within 30 seconds"
		sleep 0.1
	done
}

"$stowage" serve --sandbox "$box" --smtp "$smtp" --http "$http" --admin "$admin" \
	2>"$dir/log" </dev/null &
pid=$!
logged gateway.ready
title 'A sandbox is running'
echo "mail comes in at  $smtp, with STARTTLS"
echo "links open at     http://$http"
echo "mail goes out to  $box/Maildir"

# ---- a mail ----

mkdir "$dir/sent" "$dir/fetched"
PYTHONIOENCODING=utf-8 /usr/bin/python3 - "$dir/sent" "$dir/mail.eml" <<'PY'
import email.message, email.policy, os, random, struct, sys, zlib

def png(width, height):
    """A sunset."""
    rows = b"".join(b"\0" + bytes(v for x in range(width)
                                  for v in (255 - y, 140 - y // 2, 60 + y)) for y in range(height))
    def chunk(kind, data):
        return (struct.pack(">I", len(data)) + kind + data
                + struct.pack(">I", zlib.crc32(kind + data)))
    return (b"\x89PNG\r\n\x1a\n"
            + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))

files = {
    "Jahresübersicht 東京.csv": ("text/csv", "".join(
        f"2026-{month:02};{month * 1117}\r\n" for month in range(1, 13)).encode()),
    "camera backup.bin": ("application/octet-stream", random.Random(1).randbytes(3 << 20)),
    "sunset.png": ("image/png", png(160, 120)),
}
for name, (_, content) in files.items():
    with open(os.path.join(sys.argv[1], name), "wb") as out:
        out.write(content)

mail = email.message.EmailMessage(policy=email.policy.SMTP)
mail["From"], mail["To"] = "Camera 7 <camera7@lab.example>", "ops@example.com"
mail["Subject"] = "Wochenbericht – 東京"
mail["Date"], mail["Message-ID"] = email.utils.localtime(), "<demo@lab.example>"
mail.set_content("Hello,\n\nthe figures and the backup of this week are attached.\n\n"
                 "-- \nCamera 7, Tōkyō\n", cte="quoted-printable")
mail.add_alternative("<html><body><p>Hello,</p><p>the figures and the backup of this week are "
                     "attached.</p><p><img src=\"cid:sunset@lab.example\" alt=\"sunset\"></p>"
                     "</body></html>\n", subtype="html")
image = files.pop("sunset.png")[1]
mail.get_payload()[1].add_related(image, "image", "png", cid="<sunset@lab.example>",
                                  filename="sunset.png", disposition="inline")
for name, (kind, content) in files.items():
    mail.add_attachment(content, *kind.split("/"), filename=name)
with open(sys.argv[2], "wb") as out:
    out.write(mail.as_bytes())
PY
size() { stat -c %s "$1"; }
title "curl sends a mail of $(size "$dir/mail.eml") octets, with three attachments"
(cd "$dir/sent" && ls -l | awk 'NR > 1 { size = $5; $1 = $2 = $3 = $4 = $5 = $6 = $7 = $8 = "";
	sub(/^ +/, ""); printf "%9d  %s\n", size, $0 }')
curl -sS --max-time 60 --ssl-reqd --cacert "$certificate" "smtp://$smtp/camera7.lab.example" \
	--user sandbox:sandbox --mail-from camera7@lab.example --mail-rcpt ops@example.com \
	--upload-file "$dir/mail.eml" || die 'the gateway did not take it'
logged message.sent

# ---- what became of it ----

set -- "$box"/Maildir/new/*
[ $# = 1 ] && [ -f "$1" ] || die "not one message in $box/Maildir/new"
title "The gateway sent on a mail of $(size "$1") octets"
PYTHONIOENCODING=utf-8 /usr/bin/python3 - "$1" "$dir/links" "$dir/fetched" "$dim" "$plain" <<'PY'
import email, email.policy, os, re, sys, textwrap
path, links, fetched, dim, plain = sys.argv[1:]
with open(path, "rb") as file:
    mail = email.message_from_binary_file(file, policy=email.policy.default)

for name in ("Received", "From", "To", "Subject", "Date"):
    print(f"{name}: {' '.join(str(mail[name]).split())}")
urls = []
for part in mail.walk():
    kind = part.get_content_type()
    if part.is_multipart():
        continue
    if kind == "text/plain":
        text = part.get_content()
        urls += re.findall(r"https?://[^\s<>]+", text)
        short = re.sub(r"(https?://[^\s<>]{60})[^\s<>]+", r"\1...", text)
        print(f"\n{dim}[{kind}]{plain}\n" + textwrap.indent(short.rstrip(), "  "))
    else:
        content = part.get_payload(decode=True)
        note = f"{kind}, {len(content)} octets"
        if part.get_filename():
            note += f", {part.get_filename()}: stays, the HTML shows it"
            with open(os.path.join(fetched, os.path.basename(part.get_filename())), "wb") as out:
                out.write(content)
        else:
            hrefs = re.findall(r'href="(https?://[^"]+)"', part.get_content())
            note += f", with {len(hrefs)} links"
        print(f"\n{dim}[{note}]{plain}")
with open(links, "w") as out:
    out.writelines(url + "\n" for url in urls)
PY

title 'curl follows each link'
n=0
while read -r url; do
	n=$((n + 1))
	curl -sSf --max-time 60 -D "$dir/$n.headers" -o "$dir/$n.content" "$url" ||
		die 'a link does not open'
	/usr/bin/python3 - "$dir/$n.headers" "$dir/$n.content" "$dir/fetched" <<-'PY'
		# as a browser does: the name of Content-Disposition, filename* before filename
		import os, re, sys, urllib.parse
		headers, content, fetched = sys.argv[1:]
		with open(headers, encoding="latin-1") as file:
		    text = file.read()
		name = re.search(r"(?i)^content-disposition:.*filename\*=UTF-8''([^;\s]+)", text, re.M)
		name = os.path.basename(urllib.parse.unquote(name.group(1)))
		kind = re.search(r"(?i)^content-type: *(\S+)", text, re.M).group(1)
		os.rename(content, os.path.join(fetched, name))
		sys.stdout.reconfigure(encoding="utf-8")
		print(f"{text.split()[1]}  {kind}  {name}")
	PY
done <"$dir/links"
[ $n = 2 ] || die "$n links, and not two"

title 'Checksums: sent, and fetched through the link or kept in the mail'
bad=0
for sent in "$dir"/sent/*; do
	name=${sent##*/}
	ours=$(sha256sum <"$sent") theirs=missing
	[ ! -f "$dir/fetched/$name" ] || theirs=$(sha256sum <"$dir/fetched/$name")
	if [ "$ours" = "$theirs" ]; then
		echo "identical  $(echo "$ours" | cut -c1-16)...  $name"
	else
		echo "DIFFERENT  $name"
		bad=1
	fi
done
[ $bad = 0 ] || die 'not what was sent'

title 'What the gateway says about it'
PYTHONIOENCODING=utf-8 /usr/bin/python3 - "$dir/log" <<'PY'
import json, sys
shown = {"message.accepted": "{id}: {size} octets from {client} ({user}), {tls}",
         "attachment.stored": "{file_name}, {size} octets, as {key}",
         "message.sent": "{attachments} attachments linked, {age_ms} ms after it came in"}
with open(sys.argv[1], encoding="utf-8") as log:
    for event in map(json.loads, log):
        if event["event"] in shown:
            text = shown[event["event"]].format_map(event)
            print(f"{event['time'][11:23]}  {event['event']:17}  {text}")
PY

if [ "$stay" ]; then
	title 'The sandbox stays. Send it more:'
	cat <<-TEXT
	swaks --server $smtp --tls --auth-user sandbox --auth-password sandbox \\
	      --to ops@example.com --attach @/etc/services
	curl --ssl-reqd --cacert $certificate smtp://$smtp --user sandbox:sandbox \\
	     --mail-from me@example.com --mail-rcpt ops@example.com --upload-file MAIL.eml
	openssl s_client -starttls smtp -connect $smtp -CAfile $certificate -crlf -quiet

	$stowage queue list -c $box/stowage.yaml
	curl http://$admin/metrics
	tail -f $dir/log
	ls $box/Maildir/new

	Ctrl-C stops it and removes $dir.
	TEXT
	trap 'exit 0' HUP INT TERM
	wait "$pid"
else
	title 'Done'
	echo "sh conf/demo.sh --stay leaves the sandbox running."
fi
