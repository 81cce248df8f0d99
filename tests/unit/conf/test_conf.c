/* Settings as a whole: mistakes with their places, warnings, defaults. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/conf/loading.h"
#include <string.h>

static const struct mistake syntax_mistakes[] = {
	{ "a: b: c\n",
		"f:1:5: not YAML: mapping values are not allowed in this context" },
	{ "relay:\n\thost: x\n",
		"f:2:1: not YAML: found character that cannot start any token, "
		"while scanning for the next token that begins in line 2; a tab "
		"stands here" },
	{ "relay: { host: x\n", "f:" },
	{ "relay: { host: \"x }\n", "f:" },
	{ "listeners: [ @in.example.com ]\n", "f:1:14: not YAML: found character that "
					      "cannot start any token, while scanning "
					      "for the next token that begins in line 1; "
					      "text that begins with this character "
					      "needs quotes" },
	{ "listeners: [ %{local}@x ]\n",
		"f:1:14: not YAML: found character that cannot" },
	{ "listeners: [ { networks: [ ::1 ] } ]\n",
		"f:1:28: not YAML: did not find expected node content, while parsing a "
		"flow node that begins in line 1; text with such colons needs quotes" },
	{ "relay: &r { host: x }\n", "f:1:8: an anchor (&name) is not taken here" },
	{ "relay: &r { host: x }\ns3: *r\n", "f:1:8: an anchor (&name) is not taken "
					     "here\nf:2:5: an alias (*name) is not" },
	{ "relay: { port: !!int \"5\" }\n", "f:1:16: a tag (!name) is not taken here" },
	{ "relay: !!map { port: 5 }\n", "f:1:8: a tag (!name) is not taken here" },
	{ "hostname: a\n---\nhostname: b\n", "f:2:1: a second document begins (---)" },
	{ "relay: [[[[[[[[ 1 ]]]]]]]]\n", "f:1:15: nested too deep" },
	{ "log: { \"a\\0b\": 1 }\n", "f:1:8: the text holds a NUL character" },
	{ "hostname: a\nrelay: \x01\n",
		"f:2:8: not YAML: control characters are not allowed" },
	{ "hostname: \"\xc3\xa9\xff\"\n", "f:1:13: not UTF-8 (byte \\xff)" },
	{ "\xff\xfeh\n", "f:1:1: not UTF-8 (byte \\xff)" },
};

static const struct mistake reading_mistakes[] = {
	{ "hots: x\n", "f:1:1: \"hots\": unknown key: here may stand hostname, "
		       "postmaster, listeners" },
	{ "hostnam: x\nhostname: a.example\n",
		"f:1:1: \"hostnam\": unknown key: did you mean \"hostname\"?" },
	{ "relay: { host: localhost, tls: none, prot: 25 }\n",
		"f:1:38: relay.\"prot\": unknown key: did you mean \"port\"?" },
	{ "relay: { hots: localhost, tls: none }\n",
		"f:1:10: relay.\"hots\": unknown key: did you mean \"host\"?" },
	{ "queue: { max-messages: 5 }\n", "f:1:10: queue.\"max-messages\": unknown key: "
					  "did you mean \"max_messages\"?" },
	{ "links: { Expiry: 5h }\n",
		"f:1:10: links.\"Expiry\": unknown key: did you mean \"expiry\"?" },
	{ "links: { colour: red }\n",
		"f:1:10: links.\"colour\": unknown key: here may stand expiry, " },
	{ "links: { <<: { expiry: 1h } }\n",
		"f:1:10: links.\"<<\": merge keys (<<) are not taken" },
	{ "links: { expiry: 1h, expiry: 2h }\n", "f:1:22: links.expiry: is given twice" },
	{ "hostname: a.example\nhostname: b.example\n",
		"f:2:1: hostname: is given twice" },
	{ "links: { [ a ]: 1 }\n", "f:1:10: links: a key must be text" },
	{ "links: { expiry: }\n", "f:1:18: links.expiry: has no value" },
	{ "links: { expiry: ~ }\n", "f:1:18: links.expiry: has no value" },
	{ "links: { expiry: null }\n", "f:1:18: links.expiry: has no value" },
	{ "links: { expiry: \"\" }\n", "f:1:18: links.expiry: \"\" is not a duration" },
	{ "links: 7d\n",
		"f:1:8: links: is text, but must be a mapping such as { expiry: ... }" },
	{ "links: [ 7d ]\n", "f:1:8: links: is a list, but must be a mapping" },
	{ "links: { expiry: [ 7d ] }\n",
		"f:1:18: links.expiry: is a list, but must be one value" },
	{ "relay: { host: { a: b } }\n",
		"f:1:16: relay.host: is a mapping, but must be one value" },
	{ "hostname: \"\"\n", "f:1:11: hostname: is empty" },
	{ "hostname: mail example\n",
		"f:1:11: hostname: \"mail example\" is not a domain name" },
	{ "hostname: 10.0.0.1\n", "f:1:11: hostname: \"10.0.0.1\" is not a domain name" },
	{ "listeners: 25\n", "f:1:12: listeners: is text, but must be a list" },
	{ "listeners: []\n", "f:1:12: listeners: is empty: name at least one" },
	{ "listeners:\n", "f:1:11: listeners: has no value" },
	{ "listeners: [ 25 ]\n", "f:1:14: listeners[0]: is text, but must be a mapping" },
	{ "listeners:\n  - name: in\n",
		"f:2:5: listeners[0].address: is missing: add address: "
		"\"[::]:25\"" },
	{ "listeners: [ { name: in, address: [::]:25 } ]\n", "f:" },
	{ "listeners: [ { name: in, address: \"localhost:25\", networks: [ 127.0.0.0/8 ] "
	  "} ]\n",
		"f:1:35: listeners[0].address: \"localhost:25\" is not a numeric address "
		"and port" },
	{ "listeners: [ { name: in, address: \"10.0.0.1:0\" } ]\n",
		"f:1:35: listeners[0].address: \"10.0.0.1:0\" has a wrong port" },
	{ "listeners: [ { name: a b, address: \"10.0.0.1:25\", tls: none, networks: [ "
	  "10.0.0.0/8 ] } ]\n",
		"f:1:22: listeners[0].name: \"a b\" must be at most 64 letters" },
	{ LISTENER("networks: 10.0.0.0/8"),
		"f:1:70: listeners[0].networks: is text, but must be a list such as [" },
	{ LISTENER("networks: []"), "f:1:70: listeners[0].networks: is an empty list" },
	{ LISTENER("networks: [ 10.0.0.0/8, 10.1.2.3/8 ]"),
		"f:1:84: listeners[0].networks[1]: 10.1.2.3/8 has bits set beyond its "
		"prefix" },
	{ LISTENER("networks: [ ~ ]"),
		"f:1:72: listeners[0].networks[0]: is empty, but must be" },
	{ LISTENER("networks: [ [ a ] ]"),
		"f:1:72: listeners[0].networks[0]: is a list, but must be text (put" },
	{ LISTENER("recipients: a@b.example"),
		"f:1:72: listeners[0].recipients: is text, but must be a list such as" },
	{ LISTENER("recipients: []"),
		"f:1:72: listeners[0].recipients: is empty, so that nobody" },
	{ LISTENER("recipients: [ in.example.org ]"),
		"f:1:74: listeners[0].recipients[0]: \"in.example.org\" is no pattern" },
	{ LISTENER("recipients: { \"@a.example\": \"%{user}@b.example\" }"),
		"f:1:74: listeners[0].recipients.\"@a.example\": \"%{user}\" is "
		"unknown" },
	{ LISTENER("recipients: { \"@a.example\": x@b.example, \"@A.example\": "
		   "x@b.example }"),
		"f:1:101: listeners[0].recipients.\"@A.example\": \"@A.example\" is "
		"given twice" },
	{ LISTENER("recipients: { \"@a.example\": }"),
		"f:1:88: listeners[0].recipients.\"@a.example\": is empty, but must be "
		"text" },
	{ LISTENER("recipients: { [ a ]: b }"),
		"f:1:74: listeners[0].recipients: a pattern must be text" },
	{ LISTENER("networks: [ 10.0.0.0/8 ], auth: maybe"),
		"f:1:92: listeners[0].auth: \"maybe\" is unknown: it must be none, "
		"optional or required" },
	{ LISTENER("networks: [ 10.0.0.0/8 ], auth_without_tls: maybe"),
		"f:1:104: listeners[0].auth_without_tls: \"maybe\" is neither true nor "
		"false" },
	{ LISTENER("networks: [ 10.0.0.0/8 ], max_message_size: 150"),
		"f:1:104: listeners[0].max_message_size: \"150\" needs a unit" },
	{ LISTENER("networks: [ 10.0.0.0/8 ], max_message_size: 1B"),
		"f:1:104: listeners[0].max_message_size: \"1B\" is out of range: it must "
		"be from 1KiB to 1TiB" },
	{ "relay: { host: localhost, tls: none, port: 587x }\n",
		"f:1:44: relay.port: \"587x\" is not a number from 1 to 65535" },
	{ "relay: { host: localhost, tls: none, port: 65536 }\n",
		"f:1:44: relay.port: \"65536\" is out of range" },
	{ "relay: { host: localhost, tls: none, port: 4294967321 }\n",
		"f:1:44: relay.port: \"4294967321\" is out of range" },
	{ "relay: { host: localhost, tls: none, rate: fast }\n",
		"f:1:44: relay.rate: \"fast\" is not a number from 0 to 100000, such as "
		"14 or "
		"0.5, nor auto" },
	{ "relay: { host: \"localhost:25\", tls: none }\n",
		"f:1:16: relay.host: \"localhost:25\" is not a host" },
	{ "relay: { host: localhost, tls: maybe }\n",
		"f:1:32: relay.tls: \"maybe\" is unknown: it must be none, starttls, "
		"required or" },
	{ "relay: { host: localhost, tls: none, configuration_set: \"a\\r\\nb\" }\n",
		"f:1:57: relay.configuration_set: holds a control character" },
	{ "relay: { host: localhost, tls: none, delivers: [ \"@a.example\" ] }\n",
		"f:1:50: relay.delivers[0]: \"@a.example\" is not a domain name" },
	{ "relay: { host: localhost, tls: none, ca_file: ca.pem }\n",
		"f:1:47: relay.ca_file: is not an absolute path" },
	{ "links: { expiry: 3651d }\n",
		"f:1:18: links.expiry: \"3651d\" is out of range: it must be from 1m to "
		"3650d" },
	{ "links: { expiry: 36x }\n", "f:1:18: links.expiry: \"36x\" is not a duration" },
	{ "links: { expiry: 36 }\n", "f:1:18: links.expiry: \"36\" needs a unit" },
	{ "sender: { from: Gateway <g@a.example> }\n",
		"f:1:17: sender.from: \"Gateway <g@a.example>\" is not a mail address" },
	{ "sender: { from: \"g\xc3\xbc@a.example\" }\n",
		"f:1:17: sender.from: \"g\xc3\xbc@a.example\" "
		"is not 7-bit ASCII" },
	{ "sender: { verified: [ \"@a.example\" ] }\n",
		"f:1:23: sender.verified[0]: \"@a.example\" is not an identity: write "
		"a.example" },
	{ "sender: { verified: a.example }\n",
		"f:1:21: sender.verified: is text, but must be a" },
	{ "admin: { listen: \"9025\" }\n",
		"f:1:18: admin.listen: \"9025\" is not a numeric" },
	{ "log: { format: xml }\n",
		"f:1:16: log.format: \"xml\" is unknown: it must be auto, json "
		"or human" },
	{ "shutdown_timeout: 2h\n", "f:1:19: shutdown_timeout: \"2h\" is out of range" },
	{ "s3: { bucket: box, endpoint: \"ftp://x\" }\n",
		"f:1:30: s3.endpoint: \"ftp://x\" is not such a URL" },
	{ "s3: { bucket: box, endpoint: \"https://x//a\" }\n", "f:1:30: s3.endpoint: " },
	{ "s3: { bucket: box, endpoint: \"https://x/a%20b\" }\n",
		"f:1:30: s3.endpoint: " },
	{ "s3: { bucket: box, endpoint: \"https://x/a?b\" }\n", "f:1:30: s3.endpoint: " },
	{ "s3: { bucket: box, endpoint: \"https://u:p@x\" }\n", "f:1:30: s3.endpoint: " },
	{ "s3: { bucket: box, endpoint: x.example }\n", "f:1:30: s3.endpoint: " },
	{ "s3: { bucket: box, region: eu-west-1, secret_access_key: \"top\\tsecret\" }\n",
		"f:1:58: s3.secret_access_key: holds a control character" },
};

static const struct mistake sense_mistakes[] = {
	{ "log: {}\ns3: {}\n",
		"f:2:5: s3.bucket: is missing: attachments go to a bucket" },
	{ "relay: {}\n", "f:1:8: relay.host: is missing: mail goes to a host" },
	{ "listeners: [ { name: in, address: \"127.0.0.1:25\", tls: none, networks: [ "
	  "127.0.0.0/8 ] },\n"
	  " { name: in, address: \"127.0.0.1:26\", tls: none, networks: [ 127.0.0.0/8 ] "
	  "} ]\n",
		"f:2:10: listeners[1].name: \"in\" is the name of listeners[0] as well" },
	{ "listeners: [ { name: a, address: \"127.0.0.1:25\", tls: none, networks: [ "
	  "127.0.0.0/8 ] },\n"
	  " { name: b, address: \"127.0.0.1:25\", tls: none, networks: [ 127.0.0.0/8 ] } "
	  "]\n",
		"f:2:22: listeners[1].address: 127.0.0.1:25 is taken by "
		"listeners[0].address" },
	{ "listeners: [ { name: a, address: \"0.0.0.0:25\", tls: none, networks: [ "
	  "10.0.0.0/8 ] },\n"
	  " { name: b, address: \"10.0.0.1:25\", tls: none, networks: [ 10.0.0.0/8 ] },\n"
	  " { name: c, address: \"10.0.0.1:26\", tls: none, networks: [ 10.0.0.0/8 ] } "
	  "]\n",
		"f:2:22: listeners[1].address: 10.0.0.1:25 is taken by "
		"listeners[0].address (0.0.0.0:25) already" },
	{ "admin: { listen: \"127.0.0.1:2525\" }\n",
		"f:1:18: admin.listen: 127.0.0.1:2525 is taken by listeners[0].address" },
	{ "listeners: [ { name: in, address: \"10.0.0.1:25\", networks: [ 10.0.0.0/8 ] } "
	  "]\n",
		"f:1:14: listeners[0].tls: needs a certificate" },
	{ "tls: { certificate: /c.pem }\n", "f:1:6: tls.key: is missing" },
	{ "tls: { key: /k.pem }\n", "f:1:6: tls.certificate: is missing" },
	{ TLS "listeners: [ { name: in, address: \"10.0.0.1:25\", auth: required } ]\n",
		"f:2:56: listeners[0].auth: needs auth.users" },
	{ "auth: { users: /u }\n" LISTENER("auth: required"),
		"f:2:66: listeners[0].auth: needs TLS" },
	{ "auth: { users: /u }\n" LISTENER("auth: required, auth_without_tls: yes"),
		"f:2:94: listeners[0].auth_without_tls: is for private networks only" },
	{ "auth: { users: /u }\n" LISTENER(
		  "auth: required, auth_without_tls: yes, networks: [ 203.0.113.0/24 ]"),
		"f:2:94: listeners[0].auth_without_tls: is for private networks only" },
	{ "auth: { users: /u }\n" TLS "listeners: [ { name: in, address: \"[::]:25\", "
	  "auth: required, auth_without_tls: on } ]\n",
		"f:3:80: listeners[0].auth_without_tls: is for private networks only" },
	{ LISTENER("auth: none"),
		"f:1:14: listeners[0].networks: must name the clients that may "
		"relay" },
	{ LISTENER("networks: [ 0.0.0.0/0 ]"),
		"f:1:70: listeners[0].networks: must name the clients that may relay" },
	{ LISTENER("networks: [ 10.0.0.0/8, 0.0.0.0/1, 128.0.0.0/1 ]"),
		"f:1:70: listeners[0].networks: must name the clients that may relay" },
	{ "auth: { users: /u }\n" TLS
	  "listeners: [ { name: in, address: \"[::]:25\", auth: optional } ]\n",
		"f:3:14: listeners[0].networks: must name the clients that may relay" },
	{ "listeners: [ { name: in, address: \"127.0.0.1:25\", tls: none } ]\n",
		"f:1:14: listeners[0].networks: must name the clients that may relay" },
	{ LISTENER("recipients: [ \"*\" ]"),
		"f:1:72: listeners[0].recipients: take mail from anyone to anywhere" },
	{ LISTENER("recipients: { \"*\": \"ops@%{domain}\" }"),
		"f:1:72: listeners[0].recipients: take mail from anyone to anywhere" },
	{ LISTENER("recipients: { \"@a.example\": x@b.example }, profile: legacy"),
		"f:1:112: listeners[0].profile: legacy is not for a listener that is "
		"open" },
	{ LISTENER("networks: [ \"::/0\" ], recipients: { a@a.example: x@b.example }, "
		   "profile: legacy"),
		"f:1:133: listeners[0].profile: legacy is not for a listener that is "
		"open" },
	{ "relay: { host: mx.example.com, tls: none }\n",
		"f:1:37: relay.tls: none is for a relay on loopback only" },
	{ "relay: { host: localhost, tls: none, maildir: /m }\n",
		"f:1:47: relay.maildir: is given beside host" },
	{ "relay: { host: localhost, tls: none, user: a }\n",
		"f:1:44: relay.user: needs a password" },
	{ "relay: { host: localhost, tls: none, password: a }\n",
		"f:1:48: relay.password: needs a user" },
	{ "relay: { host: localhost, tls: none, password_file: /p }\n",
		"f:1:53: relay.password_file: needs a user" },
	{ "relay: { host: localhost, tls: none, user: a, password: b, password_file: /p "
	  "}\n",
		"f:1:75: relay.password_file: is given beside password" },
	{ "relay: { host: email-smtp.eu-west-1.amazonaws.com }\n",
		"f:1:8: relay.user: is missing: SES wants credentials" },
	{ "relay: { host: mx.example.com, iam_access_key_id: a, iam_secret_access_key: b "
	  "}\n",
		"f:1:8: relay.region: is missing" },
	{ "relay: { host: mx.example.com, region: eu-west-1, iam_access_key_id: a }\n",
		"f:1:70: relay.iam_access_key_id: needs iam_secret_access_key" },
	{ "relay: { host: mx.example.com, iam_secret_access_key_file: /a }\n",
		"f:1:60: relay.iam_secret_access_key_file: needs iam_access_key_id" },
	{ "relay: { host: mx.example.com, region: eu-west-1, user: a, password: b, "
	  "iam_access_key_id: c, iam_secret_access_key: d }\n",
		"f:1:92: relay.iam_access_key_id: is given beside user" },
	{ "sender: { from: g@b.example, verified: [ a.example, g@c.example ] }\n",
		"f:1:17: sender.from: g@b.example is not among sender.verified" },
	{ "sender: { envelope: g@xa.example, verified: [ a.example ] }\n",
		"f:1:21: sender.envelope: g@xa.example is not among sender.verified" },
	{ "s3: { bucket: Box, region: eu-west-1 }\n",
		"f:1:15: s3.bucket: \"Box\" is no bucket name" },
	{ "s3: { bucket: bo, region: eu-west-1 }\n",
		"f:1:15: s3.bucket: \"bo\" is no bucket name" },
	{ "s3: { bucket: -box, region: eu-west-1 }\n",
		"f:1:15: s3.bucket: \"-box\" is no bucket" },
	{ "s3: { bucket: a..b, region: eu-west-1 }\n",
		"f:1:15: s3.bucket: \"a..b\" is no bucket" },
	{ "s3: { bucket: 10.0.0.1, region: eu-west-1 }\n",
		"f:1:15: s3.bucket: \"10.0.0.1\" is no" },
	{ "s3: { bucket: a.b, region: eu-west-1 }\n",
		"f:1:5: s3.path_style: must be true for a" },
	{ "s3: { bucket: box }\n", "f:1:5: s3.region: is missing" },
	{ "s3: { bucket: box, region: europe }\n",
		"f:1:28: s3.region: \"europe\" is no region" },
	{ "s3: { bucket: box, region: EU-WEST-1 }\n",
		"f:1:28: s3.region: \"EU-WEST-1\" is no" },
	{ "s3: { bucket: box, region: eu-west-1, prefix: a//b }\n",
		"f:1:47: s3.prefix: \"a//b\" is no prefix" },
	{ "s3: { bucket: box, region: eu-west-1, prefix: a/../b }\n",
		"f:1:47: s3.prefix: \"a/../b\" is no prefix" },
	{ "s3: { bucket: box, region: eu-west-1, prefix: a b }\n",
		"f:1:47: s3.prefix: \"a b\" is no" },
	{ "s3: { bucket: box, endpoint: \"http://s3.example.com\" }\n",
		"f:1:30: s3.endpoint: http://s3.example.com is not encrypted" },
	{ "s3: { bucket: box, directory: /d, directory_url: \"https://x.example\" }\n",
		"f:1:31: s3.directory: is given beside bucket" },
	{ "s3: { directory: /d }\n", "f:1:5: s3.directory_url: is missing" },
	{ "s3: { directory: /d, directory_url: \"http://x.example\" }\n",
		"f:1:37: s3.directory_url: http://x.example is not encrypted" },
	{ "s3: { directory: /d, directory_url: \"https://x.example\", listen: "
	  "\"127.0.0.1:443\", listen_tls: true }\n",
		"f:1:95: s3.listen_tls: needs tls.certificate and tls.key" },
	{ "tls: { certificate: /c, key: /k }\n"
	  "s3: { directory: /d, directory_url: \"http://[::1]\", listen: "
	  "\"127.0.0.1:443\", listen_tls: true }\n",
		"f:2:37: s3.directory_url: must begin with https" },
	{ "s3: { directory: /d, directory_url: \"https://x.example\", "
	  "directory_max_size: 1KiB }\n",
		"f:1:78: s3.directory_max_size: \"1KiB\" is out of range" },
	{ "s3: { bucket: box, region: eu-west-1, access_key_id: a }\n",
		"f:1:54: s3.access_key_id: needs secret_access_key (or "
		"secret_access_key_file)" },
	{ "s3: { bucket: box, region: eu-west-1, secret_access_key_file: /a }\n",
		"f:1:63: s3.secret_access_key_file: needs access_key_id" },
	{ "s3: { bucket: box, region: eu-west-1, kms_key_id: k }\n",
		"f:1:51: s3.kms_key_id: needs encryption: kms" },
	{ "s3: { bucket: box, region: eu-west-1, encryption: aes256, bucket_key: true "
	  "}\n",
		"f:1:71: s3.bucket_key: needs encryption: kms" },
	{ "s3: { bucket: box, region: eu-west-1, object_lock: governance }\n",
		"f:1:52: s3.object_lock: needs object_lock_days" },
	{ "s3: { bucket: box, region: eu-west-1, object_lock_days: 3 }\n",
		"f:1:57: s3.object_lock_days: needs object_lock: governance or" },
	{ "s3: { bucket: box, region: eu-west-1, storage_class: GLACIER }\n",
		"f:1:54: s3.storage_class: GLACIER is an archive" },
	{ "s3: { bucket: box, endpoint: \"http://127.0.0.1:1\", unsigned_payload: true "
	  "}\n",
		"f:1:70: s3.unsigned_payload: is for https only" },
	{ "s3: { bucket: box, region: eu-west-1, tags: [ a ] }\n",
		"f:1:47: s3.tags[0]: \"a\" is not like name=value" },
	{ "s3: { bucket: box, region: eu-west-1, tags: [ a=, b=, c=, d=, e=, f=, g=, h=, "
	  "i=, j=, k= ] }\n",
		"f:1:45: s3.tags: S3 takes 10 at most" },
	{ "s3: { bucket: box, region: eu-west-1, tags: [ a=1, \"b=x&y\", aws:c=1, a=2 ] "
	  "}\n",
		"f:1:52: s3.tags[1]: \"b=x&y\" is not like name=value, of letters\n"
		"f:1:61: s3.tags[2]: \"aws:c=1\" has a name that is Amazon's own\n"
		"f:1:70: s3.tags[3]: has the name of one before it" },
	{ "s3: { bucket: box, region: eu-west-1, encryption: kms, kms_context: [ a=1, "
	  "ab=1, "
	  "a=2 ] }\n",
		"f:1:82: s3.kms_context[2]: has the name of one before it" },
	{ "s3: { bucket: box, region: eu-west-1, expected_bucket_owner: 1234-5678-9012 "
	  "}\n",
		"f:1:62: s3.expected_bucket_owner: \"1234-5678-9012\" is no account of "
		"Amazon: write its 12 digits" },
	{ "s3: { bucket: box, region: cn-north-1, fips: true }\n",
		"f:1:46: s3.fips: there are no FIPS endpoints in region cn-north-1" },
	{ "links: { expiry: 8d }\n",
		"f:1:18: links.expiry: is over 7d, the longest that S3 allows: only "
		"links.cloudfront goes beyond" },
	{ "links: { access_key_id: a }\n",
		"f:1:25: links.access_key_id: needs secret_access_key" },
	{ "links: { secret_access_key_file: /s }\n",
		"f:1:34: links.secret_access_key_file: needs access_key_id" },
	{ "links: { session_token: t }\n",
		"f:1:25: links.session_token: needs access_key_id" },
	{ "links: { base_url: \"http://files.example.com\" }\n",
		"f:1:20: links.base_url: http://files.example.com is not encrypted" },
	{ "links: { base_url: \"https://files.example.com/?a=b\" }\n",
		"f:1:20: links.base_url: \"https://files.example.com/?a=b\" is not like "
		"https://files.example.com" },
	{ "links: { base_url: \"https://files.example.com/a%20b\" }\n",
		"f:1:20: links.base_url: " },
	{ "links: { base_url: files.example.com }\n", "f:1:20: links.base_url: " },
	{ "links: { base_url: \"https://me:secret@files.example.com\" }\n",
		"f:1:20: links.base_url: holds an @" },
	{ "links: { cloudfront: { url: \"https://d1.cloudfront.net\" } }\n",
		"f:1:22: links.cloudfront: needs all of url, key_pair_id and "
		"private_key_file" },
	{ "links: { cloudfront: { url: \"http://d1.cloudfront.net\", key_pair_id: K, "
	  "private_key_file: /k } }\n",
		"f:1:29: links.cloudfront.url: http://d1.cloudfront.net is not "
		"encrypted" },
	{ "s3: { directory: /d, directory_url: \"https://x.example\" }\n"
	  "links: { cloudfront: { url: \"https://d1.cloudfront.net\", key_pair_id: K, "
	  "private_key_file: /k } }\n",
		"f:2:22: links.cloudfront: is given beside s3.directory" },
	{ "s3: { bucket: box, region: eu-west-1, retention: 1h }\n",
		"f:1:50: s3.retention: \"1h\" is out of range" },
	{ "s3: { bucket: box, region: eu-west-1, session_token: a }\n",
		"f:1:54: s3.session_token: needs access_key_id" },
	{ "s3: { bucket: box, region: eu-west-1, access_key_id: a, access_key_id_file: "
	  "/a, secret_access_key: b }\n",
		"f:1:77: s3.access_key_id_file: is given beside access_key_id" },
	{ "queue: { retry_first: 30m, retry_max: 20m }\n",
		"f:1:39: queue.retry_max: is shorter than queue.retry_first" },
	{ "queue: { retry_first: 30s, lifetime: 20s }\n",
		"f:1:38: queue.lifetime: is shorter than queue.retry_first" },
	{ "queue: { min_free: 1MiB }\n", "f:1:20: queue.min_free: leaves no room for the "
					 "record of what is queued" },
};

static const struct mistake several_mistakes[] = {
	{ "links: { expiry: 36x, colour: red }\n"
	  "relay: { host: localhost, port: 587x, tls: none }\n"
	  "hostname: a b\n"
	  "s3: { region: eu-west-1, prefix: a//b }\n",
		"f:1:18: links.expiry: \nf:1:23: links.\"colour\": \nf:2:33: relay.port: "
		"\n"
		"f:3:11: hostname: \nf:4:5: s3.bucket: is missing\nf:4:34: s3.prefix: " },
	/* What was misspelt is not said to be missing as well. */
	{ "s3: { bukket: box, region: eu-west-1 }\n",
		"f:1:7: s3.\"bukket\": unknown key: did you "
		"mean \"bucket\"?" },
	/* A value that is wrong in itself is not judged with others. */
	{ "listeners: [ { name: in, address: \"0.0.0.0:25\", tls: nnoe, networks: [ "
	  "10.0.0.0/99 ] } ]\n",
		"f:1:54: listeners[0].tls: \nf:1:72: listeners[0].networks[0]: " },
};

/* Of sound settings, what a person should still hear. */
static const struct mistake warned[] = {
	{ "", "" },
	{ "links:\nqueue:\n  # all commented out\nlog: ~\n", "" },
	{ "relay: { host: mx.example.com, port: 465 }\n", "" },
	{ "relay: { host: mx.example.com, port: 465, tls: required }\n",
		"f:1:48: relay.tls: port 465 speaks TLS from the first byte" },
	{ "relay: { host: mx.example.com, tls: wrapper }\n",
		"f:1:37: relay.tls: port 587 begins without TLS" },
	{ "relay: { host: localhost, tls: none, user: a, password: b }\n", "" },
	{ "relay: { host: email-smtp.eu-west-1.amazonaws.com, user: a, password: "
	  "b }\n",
		"f:1:1: sender.from: is not given: SES refuses" },
	{ "sender: { from: G@Sub.A.example, verified: [ a.example ] }\n", "" },
	{ "sender: { from: g@a.example, verified: [ g@a.example ] }\n", "" },
	{ "s3: { bucket: Box_1, endpoint: \"http://127.0.0.1:9000\" }\n", "" },
	{ "s3: { bucket: box, endpoint: \"HTTPS://s3.example.com\" }\n", "" },
	{ "s3: { bucket: box, endpoint: \"https://gw.example.com/\" }\n", "" },
	{ "s3: { bucket: box, endpoint: \"https://gw.example.com:8443/store/v1.2/s3/\" "
	  "}\n",
		"" },
	{ "s3: { bucket: box, region: eu-west-1, listen: \"127.0.0.1:80\" }\n",
		"f:1:47: s3.listen: has no effect without s3.directory" },
	{ "s3: { bucket: box, region: eu-west-1, directory_max_size: 1GiB }\n",
		"f:1:59: s3.directory_max_size: has no effect without "
		"s3.directory" },
	{ "s3: { directory: /d, directory_url: \"http://[::1]:80\", "
	  "listen_proxies: [ 127.0.0.1 ] }\n",
		"f:1:72: s3.listen_proxies: has no effect without s3.listen" },
	{ "s3: { directory: /d, directory_url: \"http://[::1]:80\", region: x "
	  "}\n",
		"f:1:64: s3.region: has no effect with s3.directory" },
	{ "s3: { bucket: box, region: eu-west-1, profile: p, access_key_id: a, "
	  "secret_access_key: b }\n",
		"f:1:48: s3.profile: has no effect beside access_key_id" },
	{ "links: { cloudfront: { url: \"https://d1.cloudfront.net\", "
	  "key_pair_id: K, private_key_file: /k }, expiry: 90d }\n",
		"" },
	{ "links: { access_key_id: a, secret_access_key: b, expiry: 7d }\n", "" },
	{ "links: { access_key_id: a, secret_access_key: b, session_token: c, "
	  "expiry: 36h }\n",
		"" },
	{ "links: { access_key_id: a, secret_access_key: b, session_token: c, "
	  "expiry: 37h }\n",
		"f:1:76: links.expiry: cannot be kept: a session token ends "
		"after 36h" },
	{ "s3: { bucket: box, region: eu-west-1, access_key_id: a, "
	  "secret_access_key: b, session_token: c }\n",
		"f:1:1: links.expiry: cannot be kept: a session token ends" },
	{ "s3: { bucket: box, region: eu-west-1, access_key_id: a, "
	  "secret_access_key: b, session_token: c }\n"
	  "links: { access_key_id: a, secret_access_key: b }\n",
		"" },
	{ "s3: { bucket: box, region: eu-west-1, role_arn: "
	  "\"arn:aws:iam::123456789012:role/up\" }\n",
		"f:1:1: links.expiry: cannot be kept: an assumed role ends after "
		"12h" },
	{ "s3: { bucket: box, region: eu-west-1, retention: 6d }\n",
		"f:1:50: s3.retention: is shorter than links.expiry" },
	{ "s3: { bucket: box, region: eu-west-1, retention: 7d }\n", "" },
	{ "links: { signed_for_endpoint: yes }\n",
		"f:1:31: links.signed_for_endpoint: has no effect without "
		"links.base_url" },
	{ "links: { base_url: \"https://d1.example\", cloudfront: { url: "
	  "\"https://d1.cloudfront.net\", key_pair_id: K, private_key_file: /k } "
	  "}\n",
		"f:1:20: links.base_url: has no effect with links.cloudfront" },
	{ LISTENER("recipients: { \"@a.example\": x@b.example }"),
		"f:1:54: listeners[0].tls: mail from the world arrives here "
		"unencrypted" },
	{ LISTENER("networks: [ 10.0.0.0/8 ], auth_without_tls: yes"),
		"f:1:104: listeners[0].auth_without_tls: has no effect with "
		"auth: none" },
	{ LISTENER("networks: [ 10.0.0.0/8 ], recipients: [ \"*\" ], profile: "
		   "legacy"),
		"" },
	{ "auth: { users: /u }\n" LISTENER("networks: [ 10.0.0.0/8 ], auth: "
					   "optional, auth_without_tls: yes"),
		"" },
	{ "auth: { users: /u }\n" TLS
	  "listeners: [ { name: in, address: \"[::]:587\", tls: wrapper, auth: "
	  "required } ]\n",
		"" },
	{ "listeners: [ { name: a, address: \"[::]:25\", tls: none, networks: [ "
	  "127.0.0.0/8 ] },\n"
	  " { name: b, address: \"127.0.0.1:25\", tls: none, networks: [ "
	  "127.0.0.0/8 ] } ]\n",
		"f:1:34: listeners[0].address: [::]:25 takes IPv6 clients only, "
		"since listeners[1].address has 127.0.0.1:25" },
	{ "\xef\xbb\xbflinks: { expiry: 1h }\n", "" },
	{ "--- \nlog: { debug: \"on\" }\n...\n", "" },
	{ "relay: { host: localhost, tls: none, port: \"25\" }\n", "" },
};

static void test_syntax(void **state)
{
	(void)state;
	check_mistakes(syntax_mistakes, G_N_ELEMENTS(syntax_mistakes));
}

static void test_reading(void **state)
{
	(void)state;
	check_mistakes(reading_mistakes, G_N_ELEMENTS(reading_mistakes));
}

static void test_sense(void **state)
{
	(void)state;
	check_mistakes(sense_mistakes, G_N_ELEMENTS(sense_mistakes));
	check_mistakes(several_mistakes, G_N_ELEMENTS(several_mistakes));
}

static void test_empty(void **state)
{
	static const char *const texts[] = { "", "# nothing\n", "---\n", "--- ~\n",
		"\n\n" };
	g_autofree char *problems = NULL, *warnings = NULL;
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
		g_clear_pointer(&problems, g_free);
		g_clear_pointer(&warnings, g_free);
		assert_null(load(texts[i], &problems, &warnings));
		assert_true(strstr(problems, "f:1:") == problems);
	}
	g_autofree char *large = g_strnfill(1024 * 1024 + 1, '#');
	g_clear_pointer(&problems, g_free);
	g_clear_pointer(&warnings, g_free);
	assert_null(load(large, &problems, &warnings));
	assert_string_equal(problems, "f: larger than 1 MiB: this is no settings file\n");
}

static void test_warnings(void **state)
{
	(void)state;
	check_warnings(warned, G_N_ELEMENTS(warned));
}

static void check_listener_defaults(const struct conf_listener *in)
{
	assert_string_equal(in->name, "in");
	assert_string_equal(in->address, "127.0.0.1:2525");
	assert_int_equal(in->socket_address.ss_family, AF_INET);
	assert_int_equal(in->tls, CONF_TLS_NONE);
	assert_int_equal(in->auth, CONF_AUTH_NONE);
	assert_false(in->auth_without_tls);
	assert_int_equal(in->profile, CONF_PROFILE_STANDARD);
	assert_int_equal(in->n_networks, 1);
	assert_null(in->recipients);
	assert_int_equal(in->max_message_size, 150 * 1024 * 1024);
	assert_int_equal(in->max_recipients, 100);
	assert_int_equal(in->max_connections, 1000);
	assert_int_equal(in->command_timeout_s, 300);
	assert_int_equal(in->data_timeout_s, 180);
}

static void check_relay_defaults(const struct conf_relay *relay)
{
	assert_int_equal(relay->port, 587);
	assert_int_equal(relay->tls, CONF_TLS_REQUIRED);
	assert_true(relay->rate < 0.001);
	assert_int_equal(relay->connections, 8);
	assert_int_equal(relay->messages_per_connection, 500);
	assert_int_equal(relay->connection_lifetime_s, 300);
	assert_int_equal(relay->connect_timeout_s, 30);
	assert_int_equal(relay->command_timeout_s, 300);
	assert_int_equal(relay->data_timeout_s, 600);
	assert_int_equal(relay->max_message_size, 40000000);
	assert_int_equal(relay->max_recipients, 50);
	assert_null(relay->delivers);
	assert_null(relay->maildir);
}

/* Those of mime/, which its own tests use. */
static void check_attachment_defaults(const struct mime_settings *got)
{
	struct mime_settings want;
	mime_settings_init(&want);
	assert_int_equal(got->min_size, want.min_size);
	assert_int_equal(got->inline_images, want.inline_images);
	assert_int_equal(got->inline_max, want.inline_max);
	assert_int_equal(got->forwarded, want.forwarded);
	assert_int_equal(got->block_position, want.block_position);
	assert_int_equal(got->max_header_bytes, want.max_header_bytes);
	assert_int_equal(got->max_parts, want.max_parts);
	assert_int_equal(got->max_depth, want.max_depth);
}

static void test_defaults(void **state)
{
	(void)state;
	struct conf *conf = load_sound("relay: { host: mx.example.com }\n");
	assert_string_equal(conf->hostname, "mail.example.com");
	assert_int_equal(conf->n_listeners, 1);
	check_listener_defaults(&conf->listeners[0]);
	check_relay_defaults(&conf->relay);
	assert_null(conf->tls_certificate);
	assert_int_equal(conf->s3.connections, 16);
	assert_int_equal(conf->s3.connect_timeout_ms, 5000);
	assert_int_equal(conf->s3.stall_timeout_ms, 30000);
	assert_int_equal(conf->s3.attempts, 3);
	assert_null(conf->s3.prefix);
	assert_int_equal(conf->link_expiry_s, 7 * 86400);
	check_attachment_defaults(&conf->attachments);
	assert_null(conf->sender.verified);
	assert_string_equal(conf->queue.directory, "/var/lib/stowage");
	assert_int_equal(conf->queue.workers, 8);
	assert_int_equal(conf->queue.min_free_bytes, 256 * 1024 * 1024);
	assert_int_equal(conf->queue.retry_first_s, 5);
	assert_int_equal(conf->queue.retry_max_s, 1200);
	assert_int_equal(conf->queue.lifetime_s, 4 * 86400);
	assert_int_equal(conf->queue.history_s, 30 * 86400);
	assert_string_equal(conf->admin_listen, "127.0.0.1:9025");
	assert_int_equal(conf->shutdown_timeout_s, 30);
	assert_int_equal(conf->log_format, CONF_LOG_AUTO);
	assert_false(conf->log_debug);
	conf_unref(conf_ref(conf));
	conf_unref(conf);
	conf_unref(NULL);
}

static void test_values(void **state)
{
	(void)state;
	struct conf *conf = load_sound(
		"listeners:\n"
		"  - name: mx\n"
		"    address: \"[::]:25\"\n"
		"    tls: optional\n"
		"    recipients: { \"@a.example\": \"%{local}@b.example\" }\n"
		"    max_message_size: 2GiB\n"
		"  - { name: lan, address: \"10.0.0.1:25\", tls: Required, profile: "
		"legacy,\n"
		"      networks: [ 10.0.0.0/8, \"fd00::/8\" ], auth_without_tls: no "
		"}\n" TLS "s3: { bucket: box, endpoint: \"https://[::1]:9000\", prefix: "
		"/mail/in/,\n"
		"      stall_timeout: 1s500ms, path_style: on }\n"
		"links: { expiry: 1h30m }\n"
		"attachments: { inline_images: link, forwarded: whole, position: top }\n"
		"sender: { verified: [ a.example, x@b.example ] }\n"
		"relay: { host: 127.0.0.1, port: 2465, rate: 0.5, delivers: [ c.example "
		"] }\n"
		"admin: { listen: off }\n"
		"log: { format: json, debug: yes }\n");
	assert_int_equal(conf->n_listeners, 2);
	assert_int_equal(conf->listeners[0].profile, CONF_PROFILE_STRICT);
	assert_int_equal(conf->listeners[0].tls, CONF_TLS_STARTTLS);
	assert_int_equal(conf->listeners[0].max_message_size, UINT64_C(2147483648));
	assert_int_equal(conf->listeners[0].socket_address.ss_family, AF_INET6);
	assert_int_equal(conf->listeners[1].profile, CONF_PROFILE_LEGACY);
	assert_int_equal(conf->listeners[1].tls, CONF_TLS_REQUIRED);
	assert_int_equal(conf->listeners[1].n_networks, 2);
	assert_int_equal(conf->listeners[1].networks[1].prefix_bits, 8);
	assert_string_equal(conf->s3.prefix, "mail/in");
	assert_null(conf->s3.region); /* the environment may know */
	assert_int_equal(conf->s3.stall_timeout_ms, 1500);
	assert_true(conf->s3.path_style);
	assert_int_equal(conf->link_expiry_s, 5400);
	assert_int_equal(conf->attachments.inline_images, MIME_INLINE_LINK);
	assert_int_equal(conf->attachments.forwarded, MIME_FORWARDED_WHOLE);
	assert_int_equal(conf->attachments.block_position, MIME_BLOCK_TOP);
	assert_string_equal(conf->sender.verified[1], "x@b.example");
	assert_null(conf->sender.verified[2]);
	assert_int_equal(conf->relay.tls, CONF_TLS_WRAPPER);
	assert_true(conf->relay.rate > 0.49 && conf->relay.rate < 0.51);
	assert_null(conf->admin_listen);
	assert_int_equal(conf->log_format, CONF_LOG_JSON);
	assert_true(conf->log_debug);

	assert_true(conf_relay_delivers(conf, "x@C.example"));
	assert_false(conf_relay_delivers(conf, "x@sub.c.example"));
	assert_false(conf_relay_delivers(conf, "x"));
	conf_unref(conf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_syntax),
		cmocka_unit_test(test_reading),
		cmocka_unit_test(test_sense),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_warnings),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_values),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
