/*
 * transport - one TCP connection to a relay, plain or under TLS, as libetpan's
 * mailstream_low.
 *
 * libetpan's own TLS verifies no certificate and its reads have no end; here the
 * certificate and its host are verified, every wait has a limit, and the first failure is
 * final: after it each read and write fails at once, so that nothing half sent is
 * completed later.
 *
 * Owner: the caller, also of what transport_low() gave (which never frees the transport).
 * Threads: one at a time. Blocks within its limits. Raises no SIGPIPE.
 */
#ifndef GATEWAY_RELAY_TRANSPORT_H
#define GATEWAY_RELAY_TRANSPORT_H

#include <glib.h>
#include <libetpan/mailstream_types.h>
#include <stdbool.h>
#include <stddef.h>

/* Octets that one reply may have (RFC 5321 knows 512 a line); beyond
 * it the connection ends. */
#define TRANSPORT_REPLY_BYTES_MAX 65536

/* The certification authorities to believe. Immutable, shared by
 * connections, outlives them. */
struct transport_trust;

/* ca_file: PEM, NULL for the distribution's. GATEWAY_ERROR_MEND
 * when it cannot be used. */
struct transport_trust *transport_trust_new(const char *ca_file, GError **error);
void transport_trust_free(struct transport_trust **trust);

struct transport;

/*
 * Looks host up (the resolver's own time limits hold for that) and tries all its
 * addresses within timeout_s seconds, the first-th (modulo their number) first.
 * GATEWAY_ERROR_RETRY with a text for people.
 */
struct transport *transport_new(const char *host, unsigned port, uint64_t first,
	unsigned timeout_s, GError **error);

/* A new mailstream_low over the connection; closing it closes the connection. */
mailstream_low *transport_low(struct transport *transport);

/*
 * Limits for what comes next, until they are set again: stall_s for each single wait,
 * total_s for all of it. Also begins a new count towards TRANSPORT_REPLY_BYTES_MAX.
 */
void transport_set_limits(
	struct transport *transport, unsigned stall_s, uint64_t total_s);

/*
 * TLS 1.2 or later from here on; the certificate must be valid for name, a host name or
 * an IP address. GATEWAY_ERROR_MEND: the certificate is not accepted, and why; RETRY:
 * anything else. The connection is dead afterwards if it fails. The caller has made sure
 * that no octet received in the clear is still to be read.
 */
bool transport_start_tls(struct transport *transport, const struct transport_trust *trust,
	const char *name, GError **error);

bool transport_is_tls(const struct transport *transport);

/* Whether the peer's address is a loopback one. */
bool transport_is_loopback(const struct transport *transport);

/* Whether there is something to read, or the peer has closed. Does not wait. */
bool transport_has_input(struct transport *transport);

/* Makes it dead; reason is kept if it is the first. */
void transport_kill(struct transport *transport, const char *reason);

/* NULL while it is alive, else why it is not. Lives as long as the transport, or until
 * transport_hear_out(). */
const char *transport_death(const struct transport *transport);

/* Where it died of a write, lets what the peer had said before it closed be read. False:
 * it died otherwise, and stays dead. */
bool transport_hear_out(struct transport *transport);

/* Closes without farewell if that was not done yet. NULL is taken. */
void transport_free(struct transport **transport);

#endif
