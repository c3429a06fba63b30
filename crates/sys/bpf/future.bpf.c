// SPDX-License-Identifier: GPL-2.0 OR MIT OR Apache-2.0
/* Attached to a cgroup: gives each connection that is established in it from then on the options
 * that keep it, and remembers on the socket itself what it had before, for the way back.
 * Never more than some to one slot of the timer wheel, for the reason that keeping/spread.rs gives.
 * The layouts are repeated in crates/sys/src/bpf/future.rs: keep both alike.
 * Read: linux net/ipv4/tcp_input.c `tcp_init_transfer`, net/core/bpf_sk_storage.c. */
#include "kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include "options.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

/* uapi/linux/bpf.h, as far as it is read here. */
struct bpf_sock_ops {
	__u32 op;
	__u32 args[4];
	__u32 family;
	__u32 remote_ip4, local_ip4;
	__u32 remote_ip6[4], local_ip6[4];
	__u32 remote_port, local_port, is_fullsock, snd_cwnd, srtt_us;
	__u32 bpf_sock_ops_cb_flags, state, rtt_min, snd_ssthresh, rcv_nxt, snd_nxt, snd_una;
	__u32 mss_cache, ecn_flags, rate_delivered, rate_interval_us, packets_out, retrans_out;
	__u32 total_retrans, segs_in, data_segs_in, segs_out, data_segs_out, lost_out, sacked_out;
	__u32 sk_txhash;
	__u64 bytes_received, bytes_acked;
	void *sk;
};

enum { false, true };
enum { ACTIVE_ESTABLISHED = 4, PASSIVE_ESTABLISHED = 5, STATE_CHANGE = 10 };
enum { STATE_FLAG = 1 << 2, CLOSED = 7, INET = 2, INET6 = 10, SLOTS_MAX = 64, CREATE = 1 };

struct wanted {
	struct options options;
	__u32 off;
	__u64 slot_ns;
	__u32 slots, per_slot;
	__u32 loopback, spare;
};
struct counts {
	__u64 covered, met, crowded, local, refused;
	__u32 taken[SLOTS_MAX];
};
struct remembered { struct options before, given; __u32 slot, spare; };

struct {
	__uint(type, 2); /* BPF_MAP_TYPE_ARRAY */
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct wanted);
} wanted SEC(".maps");

struct {
	__uint(type, 2); /* BPF_MAP_TYPE_ARRAY */
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct counts);
} counts SEC(".maps");

struct {
	__uint(type, 24); /* BPF_MAP_TYPE_SK_STORAGE */
	__uint(map_flags, 1); /* BPF_F_NO_PREALLOC */
	__type(key, int);
	__type(value, struct remembered);
} remembered SEC(".maps");

static __always_inline bool is_local(struct bpf_sock_ops *ctx)
{
	__u32 to, mapped = bpf_htonl(0xffff);

	if (ctx->family == INET) {
		to = ctx->remote_ip4;
		return to == ctx->local_ip4 || bpf_ntohl(to) >> 24 == 127;
	}
	if (ctx->remote_ip6[0] == ctx->local_ip6[0] && ctx->remote_ip6[1] == ctx->local_ip6[1] &&
	    ctx->remote_ip6[2] == ctx->local_ip6[2] && ctx->remote_ip6[3] == ctx->local_ip6[3])
		return true;
	if (ctx->remote_ip6[0] || ctx->remote_ip6[1])
		return false;
	to = ctx->remote_ip6[3];
	if (ctx->remote_ip6[2] == mapped)
		return bpf_ntohl(to) >> 24 == 127;
	return !ctx->remote_ip6[2] && to == bpf_htonl(1);
}

/* Keepalive is on already, and no later than it would be. */
static __always_inline bool is_met(struct options *found, struct options *o)
{
	return found->keepalive && found->idle_s <= o->idle_s &&
	       found->interval_s * found->probes <= o->interval_s * o->probes &&
	       (!o->user_timeout_ms ||
		(found->user_timeout_ms && found->user_timeout_ms <= o->user_timeout_ms));
}

static __always_inline void leave(struct bpf_sock_ops *ctx, struct counts *counted)
{
	struct remembered *was;
	void *sk = ctx->sk;
	__u32 slot;

	if (!sk)
		return;
	was = bpf_sk_storage_get(&remembered, sk, 0, 0);
	if (!was)
		return;
	slot = was->slot;
	if (slot < SLOTS_MAX)
		__sync_fetch_and_add(&counted->taken[slot], -1);
	/* A socket can be CLOSED more than once: it is to be counted once. */
	was->slot = SLOTS_MAX;
}

/* Says whether the options were set. */
static __always_inline bool give(struct bpf_sock_ops *ctx, struct options *found,
				 struct options *o, __u32 slot)
{
	struct remembered initial = { .before = *found, .given = *o, .slot = slot };
	struct options now = {};
	void *sk = ctx->sk;

	if (!sk || !bpf_sk_storage_get(&remembered, sk, &initial, CREATE))
		return false;
	if (!write_options(ctx, found, o) && !read_options(ctx, &now) && same(&now, o)) {
		bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | STATE_FLAG);
		return true;
	}
	write_options(ctx, o, found);
	bpf_sk_storage_delete(&remembered, sk);
	return false;
}

SEC("sockops")
int halfopen_future(struct bpf_sock_ops *ctx)
{
	__u32 op = ctx->op, zero = 0;
	__u64 slot;
	struct options found = {}, o;
	struct counts *counted = bpf_map_lookup_elem(&counts, &zero);
	struct wanted *want = bpf_map_lookup_elem(&wanted, &zero);

	if (!want || !counted || (ctx->family != INET && ctx->family != INET6))
		return 1;
	if (op == STATE_CHANGE && ctx->args[1] == CLOSED)
		leave(ctx, counted);
	if ((op != ACTIVE_ESTABLISHED && op != PASSIVE_ESTABLISHED) || want->off)
		return 1;
	if (!want->loopback && is_local(ctx)) {
		__sync_fetch_and_add(&counted->local, 1);
		return 1;
	}
	o = want->options;
	if (!want->slot_ns || !want->slots || read_options(ctx, &found)) {
		__sync_fetch_and_add(&counted->refused, 1);
		return 1;
	}
	if (is_met(&found, &o)) {
		__sync_fetch_and_add(&counted->met, 1);
		return 1;
	}
	if (!o.user_timeout_ms)
		o.user_timeout_ms = found.user_timeout_ms;
	slot = bpf_ktime_get_ns() / want->slot_ns % want->slots;
	if (slot >= SLOTS_MAX)
		return 1;
	if (__sync_fetch_and_add(&counted->taken[slot], 1) >= want->per_slot) {
		__sync_fetch_and_add(&counted->taken[slot], -1);
		__sync_fetch_and_add(&counted->crowded, 1);
		return 1;
	}
	if (give(ctx, &found, &o, slot)) {
		__sync_fetch_and_add(&counted->covered, 1);
		return 1;
	}
	__sync_fetch_and_add(&counted->taken[slot], -1);
	__sync_fetch_and_add(&counted->refused, 1);
	return 1;
}
