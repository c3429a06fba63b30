/* SPDX-License-Identifier: GPL-2.0 OR MIT OR Apache-2.0 */
/* The five options that keep a connection, read and written as one. `of` is what the helpers take in
 * the program at hand: a socket, or the context of sock_ops. Needs kernel.h before it.
 * Read: linux net/core/filter.c `sol_tcp_sockopt`; crates/core/src/keeping/kept.rs. */
#pragma once

struct options { __s32 keepalive, idle_s, interval_s, probes, user_timeout_ms; };

/* The option numbers are those of every architecture that Debian ships but MIPS, PA-RISC, SPARC. */
enum { SOL_SOCKET = 1, SO_KEEPALIVE = 9, IPPROTO_TCP = 6 };
enum { TCP_KEEPIDLE = 4, TCP_KEEPINTVL = 5, TCP_KEEPCNT = 6, TCP_USER_TIMEOUT = 18 };

static __always_inline int get(void *of, int level, int name, __s32 *value)
{
	return bpf_getsockopt(of, level, name, value, sizeof(*value));
}

static __always_inline int set(void *of, int level, int name, __s32 value)
{
	return bpf_setsockopt(of, level, name, &value, sizeof(value));
}

static __noinline int read_options(void *of, struct options *o)
{
	int error;

	if (!of || !o)
		return -1;
	error = get(of, SOL_SOCKET, SO_KEEPALIVE, &o->keepalive);
	error = error ?: get(of, IPPROTO_TCP, TCP_KEEPIDLE, &o->idle_s);
	error = error ?: get(of, IPPROTO_TCP, TCP_KEEPINTVL, &o->interval_s);
	error = error ?: get(of, IPPROTO_TCP, TCP_KEEPCNT, &o->probes);
	return error ?: get(of, IPPROTO_TCP, TCP_USER_TIMEOUT, &o->user_timeout_ms);
}

/* SO_KEEPALIVE goes off first and on last: the whole wait begins now, where it gets shorter. */
static __always_inline int write_options(void *of, struct options *found,
					 struct options *o)
{
	int error = 0;

	if (found->keepalive && (o->idle_s < found->idle_s || !o->keepalive))
		error = set(of, SOL_SOCKET, SO_KEEPALIVE, 0);

	error = error ?: set(of, IPPROTO_TCP, TCP_KEEPIDLE, o->idle_s);
	error = error ?: set(of, IPPROTO_TCP, TCP_KEEPINTVL, o->interval_s);
	error = error ?: set(of, IPPROTO_TCP, TCP_KEEPCNT, o->probes);
	error = error ?: set(of, IPPROTO_TCP, TCP_USER_TIMEOUT, o->user_timeout_ms);
	if (!error && o->keepalive)
		error = set(of, SOL_SOCKET, SO_KEEPALIVE, 1);
	return error;
}

static __always_inline bool same(struct options *one, struct options *other)
{
	return one->keepalive == other->keepalive && one->idle_s == other->idle_s &&
	       one->interval_s == other->interval_s && one->probes == other->probes &&
	       one->user_timeout_ms == other->user_timeout_ms;
}
