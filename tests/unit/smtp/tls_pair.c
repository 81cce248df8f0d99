/* The wire is two memory BIOs on the client's side, and lent bytes on the server's. */
#include "tls_pair.h"

#define ROUNDS_MAX 10

static void set_client(SSL_CTX *context, const struct pair_client *client)
{
	g_autofree char *ciphers = g_strconcat(
		client->ciphers ? client->ciphers : "ALL", ":@SECLEVEL=0", NULL);
	SSL_CTX_set_min_proto_version(
		context, client->version ? client->version : TLS1_VERSION);
	SSL_CTX_set_max_proto_version(context, client->version);
	g_assert(SSL_CTX_set_cipher_list(context, ciphers) == 1);
	if (!client->identity)
		return;
	g_assert(SSL_CTX_use_certificate(context, client->identity->certificate) == 1);
	g_assert(SSL_CTX_use_PrivateKey(context, client->identity->key) == 1);
	if (client->above)
		SSL_CTX_add1_chain_cert(context, client->above->certificate);
}

void pair_init(struct pair *pair, struct tls_context *context,
	const struct pair_client *client, size_t piece)
{
	*pair = (struct pair){ .piece = piece, .status = TLS_WANTS_INPUT };
	pair->server = tls_new(context);
	pair->context = SSL_CTX_new(TLS_client_method());
	set_client(pair->context, client);
	pair->client = SSL_new(pair->context);
	if (client->server_name)
		SSL_set_tlsext_host_name(pair->client, client->server_name);
	SSL_set_bio(pair->client, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	SSL_set_connect_state(pair->client);
}

void pair_clear(struct pair *pair)
{
	SSL_free(pair->client);
	SSL_CTX_free(pair->context);
	tls_free(&pair->server);
}

void pair_to_client(struct pair *pair)
{
	GString *output = tls_output(pair->server);
	if (output->len)
		BIO_write(SSL_get_rbio(pair->client), output->str, (int)output->len);
	tls_output_sent(pair->server);
}

void pair_to_server(struct pair *pair, void (*step)(struct pair *, void *), void *context)
{
	char wire[65536];
	int n = BIO_read(SSL_get_wbio(pair->client), wire, sizeof(wire));
	for (int at = 0; at < n; at += (int)pair->piece) {
		size_t bytes = MIN(pair->piece, (size_t)(n - at));
		g_autofree char *copy = g_memdup2(wire + at, bytes);
		tls_lend(pair->server, copy, bytes);
		step(pair, context);
	}
	tls_lend(pair->server, NULL, 0);
}

static void step_handshake(struct pair *pair, void *unused)
{
	(void)unused;
	if (pair->status == TLS_WANTS_INPUT)
		pair->status = tls_handshake(pair->server);
}

void pair_shake_hands(struct pair *pair)
{
	for (int i = 0; i < ROUNDS_MAX && pair->status == TLS_WANTS_INPUT; i++) {
		SSL_do_handshake(pair->client);
		pair_to_server(pair, step_handshake, NULL);
		pair_to_client(pair);
	}
	SSL_do_handshake(pair->client);
}

void pair_read(struct pair *pair, void *got)
{
	char buffer[1000];
	size_t n;
	while ((pair->status = tls_read(pair->server, buffer, sizeof(buffer), &n)) ==
		TLS_OK)
		g_string_append_len(got, buffer, (gssize)n);
}

char *pair_server_name(const struct pair *pair)
{
	char name[256] = "";
	X509 *certificate = SSL_get0_peer_certificate(pair->client);
	if (certificate)
		X509_NAME_get_text_by_NID(X509_get_subject_name(certificate),
			NID_commonName, name, sizeof(name));
	return g_strdup(name);
}
