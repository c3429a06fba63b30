// SPDX-License-Identifier: GPL-2.0 OR MIT OR Apache-2.0
/* One iterator that sets the options which keep a connection, on exactly the sockets named in a
 * map, under each socket's lock. It looks again before it acts: state, owner and present options.
 * The layouts are repeated in crates/sys/src/bpf/keep.rs: keep both alike.
 * Read: linux net/ipv4/tcp_ipv4.c `bpf_iter_tcp_seq_show`, net/core/filter.c `sol_tcp_sockopt`. */
#include "kernel.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include "options.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

struct key { __u64 cookie; __u32 netns, spare; };
struct plan { struct options expected, wanted; };
struct outcome { __u64 cookie; __s32 what, spare; };

enum { DONE, NOT_OPEN, CHANGED, HALFWAY, NOT_TAKEN };
enum { ESTABLISHED = 1, FIN_WAIT2 = 5, CLOSE_WAIT = 8 };

struct {
	__uint(type, 1); /* BPF_MAP_TYPE_HASH */
	__uint(max_entries, 1); /* set when loaded */
	__type(key, struct key);
	__type(value, struct plan);
} plans SEC(".maps");

static __always_inline int act(struct tcp_sock *tp, struct sock *sk, struct plan *plan)
{
	struct options found = {}, now = {};
	unsigned long dead = 1ul << bpf_core_enum_value(enum sock_flags, SOCK_DEAD);
	int state = sk->__sk_common.skc_state, error;

	if (state != ESTABLISHED && state != CLOSE_WAIT && state != FIN_WAIT2)
		return NOT_OPEN;
	/* The timer of an orphan in FIN-WAIT-2 is the one that SO_KEEPALIVE would overwrite. */
	if (sk->__sk_common.skc_flags & dead)
		return NOT_OPEN;
	error = read_options(tp, &found);
	if (error)
		return error;
	if (same(&found, &plan->wanted))
		return DONE;
	if (!same(&found, &plan->expected))
		return CHANGED;
	error = write_options(tp, &found, &plan->wanted);
	error = error ?: read_options(tp, &now);
	if (!error && same(&now, &plan->wanted))
		return DONE;
	return write_options(tp, &plan->wanted, &plan->expected) ? HALFWAY : error ?: NOT_TAKEN;
}

SEC("iter/tcp")
int keep(struct bpf_iter__tcp *ctx)
{
	struct sock_common *common = ctx->sk_common;
	struct outcome outcome = {};
	struct key key = {};
	struct tcp_sock *tp;
	struct plan *plan;

	if (!common)
		return 0;
	tp = bpf_skc_to_tcp_sock(common);
	if (!tp)
		return 0;
	key.cookie = bpf_get_socket_cookie(common);
	key.netns = common->skc_net.net->ns.inum;
	plan = bpf_map_lookup_elem(&plans, &key);
	if (!plan)
		return 0;
	outcome.cookie = key.cookie;
	outcome.what = act(tp, &tp->inet_conn.icsk_inet.sk, plan);
	/* A full buffer shows this socket again, and then it is found as it is wanted. */
	if (bpf_seq_write(ctx->meta->seq, &outcome, sizeof(outcome)))
		return 1;
	bpf_map_delete_elem(&plans, &key);
	return 0;
}
