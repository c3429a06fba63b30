// SPDX-License-Identifier: GPL-2.0 OR MIT OR Apache-2.0
/* Two iterators: every TCP socket of the namespace that opens the first, with what sock_diag hides,
 * and every descriptor of a socket on the host. They are joined in user space by the address of
 * `struct socket`. The record is decoded in crates/sys/src/bpf/record.rs: keep both alike.
 * Read: linux Documentation/bpf/bpf_iterators.rst, net/ipv4/tcp_ipv4.c `bpf_iter_tcp_seq_show`. */
#include "kernel.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual MIT/GPL";

#define AF_INET6 10

/* As an expression that begins at `tp`, for the reason in kernel.h. */
#define SK(tp) (&(tp)->inet_conn.icsk_inet.sk)

struct record {
	__u64 boot_ns, socket, cookie, inode, cgroup, bytes_acked, bytes_received;
	__u8 local[16], peer[16];
	__u32 netns, interface, uid, flags;
	__u32 now_jiffies, timer_jiffies, keepalive_jiffies;
	__u32 keepalive_time, keepalive_intvl, user_timeout_ms, linger2, rto_max, probes_tstamp;
	__u32 rto, srtt_us, mdev_us, packets_out, retrans_out, total_retrans, segs_in, segs_out;
	__u32 write_seq, snd_una, snd_nxt, rcv_nxt, copied_seq, snd_wnd, rcv_wnd;
	__u32 rcv_tstamp, lsndtime, lrcvtime, ack_backlog, max_ack_backlog;
	__u32 busy_jiffies, rwnd_limited_jiffies, err, err_soft;
	__u32 total_rto, total_rto_recoveries, total_rto_time_ms, retransmitting_ms;
	__u16 local_port, peer_port, family;
	__u8 state, kind, ca_state, retransmits, probes_out, backoff, pending, keepalive_probes;
	__u8 syn_retries, shutdown, defer_accept, timeouts, spare[2];
};

enum kind { FULL, TIME_WAIT, REQUEST };
enum flag {
	DEAD = 1, KEEPOPEN = 2, SACK = 4, TIMESTAMPS = 8, THIN = 16, KEEPALIVE_PENDING = 32,
	HAS_RTO_MAX = 64, HAS_TOTAL_RTO = 128, REUSE = 256, LOSS_PROBE_OUT = 512,
	HAS_RETRANSMITTING = 1024,
};

static __always_inline void common(struct record *r, struct sock_common *sk)
{
	r->family = sk->skc_family;
	r->state = sk->skc_state;
	r->local_port = sk->skc_num;
	r->peer_port = __builtin_bswap16(sk->skc_dport);
	r->interface = sk->skc_bound_dev_if;
	r->netns = sk->skc_net.net->ns.inum;
	if (r->family == AF_INET6) {
		__u32 *local = (__u32 *)r->local, *peer = (__u32 *)r->peer;

		for (int i = 0; i < 4; i++) {
			local[i] = sk->skc_v6_rcv_saddr.in6_u.u6_addr32[i];
			peer[i] = sk->skc_v6_daddr.in6_u.u6_addr32[i];
		}
	} else {
		*(__u32 *)r->local = sk->skc_rcv_saddr;
		*(__u32 *)r->peer = sk->skc_daddr;
	}
}

static __always_inline void chrono(struct record *r, struct tcp_sock *tp)
{
	__u32 type = BPF_CORE_READ_BITFIELD(tp, chrono_type);
	__u32 running = r->now_jiffies - tp->chrono_start;
	__u32 busy = tp->chrono_stat[0], limited = tp->chrono_stat[1], full = tp->chrono_stat[2];

	if (type == 1)
		busy += running;
	else if (type == 2)
		limited += running;
	else if (type == 3)
		full += running;
	r->busy_jiffies = busy + limited + full;
	r->rwnd_limited_jiffies = limited;
}

static __always_inline void episodes(struct record *r, struct tcp_sock *tp)
{
	__u32 begun = tp->retrans_stamp;

	if (begun) {
		__u64 now = bpf_ktime_get_ns();

		r->flags |= HAS_RETRANSMITTING;
		if (bpf_core_field_exists(tp->tcp_usec_ts) &&
		    BPF_CORE_READ_BITFIELD(tp, tcp_usec_ts))
			r->retransmitting_ms = ((__u32)(now / 1000) - begun) / 1000;
		else
			r->retransmitting_ms = (__u32)(now / 1000000) - begun;
	}
	if (!bpf_core_field_exists(tp->total_rto_time))
		return;
	__u32 stamp = tp->rto_stamp;
	r->flags |= HAS_TOTAL_RTO;
	r->total_rto = tp->total_rto;
	r->total_rto_recoveries = tp->total_rto_recoveries;
	r->total_rto_time_ms = tp->total_rto_time;
	if (stamp)
		r->total_rto_time_ms += (__u32)(bpf_ktime_get_ns() / 1000000) - stamp;
}

static __always_inline void timers(struct record *r, struct tcp_sock *tp)
{
	void *keepalive_pending;

	r->pending = tp->inet_conn.icsk_pending;
	if (bpf_core_field_exists(tp->inet_conn.icsk_timeout))
		r->timer_jiffies = tp->inet_conn.icsk_timeout;
	else if (bpf_core_field_exists(tp->inet_conn.icsk_retransmit_timer))
		r->timer_jiffies = tp->inet_conn.icsk_retransmit_timer.expires;
	else if (bpf_core_field_exists(tp->inet_conn.icsk_inet.sk.tcp_retransmit_timer))
		r->timer_jiffies = tp->inet_conn.icsk_inet.sk.tcp_retransmit_timer.expires;
	if (bpf_core_field_exists(tp->inet_conn.icsk_keepalive_timer)) {
		keepalive_pending = tp->inet_conn.icsk_keepalive_timer.entry.pprev;
		r->keepalive_jiffies = tp->inet_conn.icsk_keepalive_timer.expires;
	} else {
		keepalive_pending = tp->inet_conn.icsk_inet.sk.sk_timer.entry.pprev;
		r->keepalive_jiffies = tp->inet_conn.icsk_inet.sk.sk_timer.expires;
	}
	if (keepalive_pending)
		r->flags |= KEEPALIVE_PENDING;
	if (bpf_core_field_exists(tp->inet_conn.icsk_rto_max)) {
		r->flags |= HAS_RTO_MAX;
		r->rto_max = tp->inet_conn.icsk_rto_max;
	}
	r->retransmits = tp->inet_conn.icsk_retransmits;
	r->backoff = tp->inet_conn.icsk_backoff;
	r->probes_out = tp->inet_conn.icsk_probes_out;
	r->rto = tp->inet_conn.icsk_rto;
	r->user_timeout_ms = tp->inet_conn.icsk_user_timeout;
	r->probes_tstamp = tp->inet_conn.icsk_probes_tstamp;
	r->syn_retries = tp->inet_conn.icsk_syn_retries;
	r->defer_accept = tp->inet_conn.icsk_accept_queue.rskq_defer_accept;
	r->ca_state = BPF_CORE_READ_BITFIELD(tp, inet_conn.icsk_ca_state);
	r->lrcvtime = tp->inet_conn.icsk_ack.lrcvtime;
}

static __always_inline void socket(struct record *r, struct tcp_sock *tp)
{
	struct socket *socket = SK(tp)->sk_socket;

	r->socket = (__u64)socket;
	if (bpf_core_field_exists(SK(tp)->sk_ino)) {
		r->inode = SK(tp)->sk_ino;
	} else if (socket) {
		struct socket_alloc *alloc =
			(void *)socket - bpf_core_field_offset(struct socket_alloc, socket);
		r->inode = BPF_CORE_READ(alloc, vfs_inode.i_ino);
	}
	r->uid = SK(tp)->sk_uid.val;
	if (bpf_core_field_exists(SK(tp)->sk_cgrp_data.cgroup)) {
		struct cgroup *cgroup = SK(tp)->sk_cgrp_data.cgroup;

		if (cgroup)
			r->cgroup = cgroup->kn->id;
	}
	r->err = SK(tp)->sk_err;
	r->err_soft = SK(tp)->sk_err_soft;
	r->ack_backlog = SK(tp)->sk_ack_backlog;
	r->max_ack_backlog = SK(tp)->sk_max_ack_backlog;
	r->shutdown = SK(tp)->sk_shutdown;
	unsigned long flags = SK(tp)->__sk_common.skc_flags;
	if (flags & (1ul << bpf_core_enum_value(enum sock_flags, SOCK_DEAD)))
		r->flags |= DEAD;
	if (flags & (1ul << bpf_core_enum_value(enum sock_flags, SOCK_KEEPOPEN)))
		r->flags |= KEEPOPEN;
	if (BPF_CORE_READ_BITFIELD(tp, inet_conn.icsk_inet.sk.__sk_common.skc_reuse))
		r->flags |= REUSE;
}

static __always_inline void full(struct record *r, struct tcp_sock *tp)
{
	socket(r, tp);
	timers(r, tp);
	chrono(r, tp);
	episodes(r, tp);
	r->bytes_acked = tp->bytes_acked;
	r->bytes_received = tp->bytes_received;
	r->keepalive_time = tp->keepalive_time;
	r->keepalive_intvl = tp->keepalive_intvl;
	r->keepalive_probes = tp->keepalive_probes;
	r->linger2 = tp->linger2;
	r->srtt_us = tp->srtt_us;
	r->mdev_us = tp->mdev_us;
	r->packets_out = tp->packets_out;
	r->retrans_out = tp->retrans_out;
	r->total_retrans = tp->total_retrans;
	r->segs_in = tp->segs_in;
	r->segs_out = tp->segs_out;
	r->write_seq = tp->write_seq;
	r->snd_una = tp->snd_una;
	r->snd_nxt = tp->snd_nxt;
	r->rcv_nxt = tp->rcv_nxt;
	r->copied_seq = tp->copied_seq;
	r->snd_wnd = tp->snd_wnd;
	r->rcv_wnd = tp->rcv_wnd;
	r->rcv_tstamp = tp->rcv_tstamp;
	r->lsndtime = tp->lsndtime;
	if (BPF_CORE_READ_BITFIELD(tp, rx_opt.sack_ok))
		r->flags |= SACK;
	if (BPF_CORE_READ_BITFIELD(tp, rx_opt.tstamp_ok))
		r->flags |= TIMESTAMPS;
	if (BPF_CORE_READ_BITFIELD(tp, thin_lto))
		r->flags |= THIN;
	if (tp->tlp_high_seq)
		r->flags |= LOSS_PROBE_OUT;
}

/* Reading the clock takes as long as all else that is read of a socket that is in the cache, so a
 * moment is good for some sockets in a row, but never once the kernel's tick, by which it tells ages,
 * has moved on. Looks that run at once share it: any of them leaves a moment that is no older. */
static __u64 moment_ns;
static __u32 moment_jiffies;

static __always_inline void moment(struct record *r, struct bpf_iter_meta *meta)
{
	__u32 jiffies = bpf_jiffies64();

	if (jiffies != moment_jiffies || !(meta->seq_num & 15)) {
		moment_ns = bpf_ktime_get_boot_ns();
		moment_jiffies = jiffies;
	}
	r->boot_ns = moment_ns;
	r->now_jiffies = jiffies;
}

SEC("iter/tcp")
int sockets(struct bpf_iter__tcp *ctx)
{
	struct sock_common *sk = ctx->sk_common;
	struct tcp_timewait_sock *tw;
	struct tcp_request_sock *req;
	struct tcp_sock *tp;
	struct record r;

	if (!sk)
		return 0;
	__builtin_memset(&r, 0, sizeof(r));
	moment(&r, ctx->meta);
	common(&r, sk);
	if ((tp = bpf_skc_to_tcp_sock(sk))) {
		full(&r, tp);
	} else if ((tw = bpf_skc_to_tcp_timewait_sock(sk))) {
		r.kind = TIME_WAIT;
		r.state = tw->tw_sk.tw_substate;
		r.timer_jiffies = tw->tw_sk.tw_timer.expires;
	} else if ((req = bpf_skc_to_tcp_request_sock(sk))) {
		r.kind = REQUEST;
		r.timer_jiffies = req->req.req.rsk_timer.expires;
		r.retransmits = BPF_CORE_READ_BITFIELD(req, req.req.num_retrans);
		r.timeouts = BPF_CORE_READ_BITFIELD(req, req.req.num_timeout);
	} else {
		return 0;
	}
	r.cookie = bpf_get_socket_cookie(sk);
	/* A full buffer shows this socket again in the next read. */
	return bpf_seq_write(ctx->meta->seq, &r, sizeof(r)) ? 1 : 0;
}

struct descriptor { __u64 socket; __u32 pid, fd; };

SEC("iter/task_file")
int descriptors(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct descriptor d = {};

	if (!task || !file)
		return 0;
	d.socket = (__u64)bpf_sock_from_file(file);
	if (!d.socket)
		return 0;
	d.pid = task->tgid;
	d.fd = ctx->fd;
	return bpf_seq_write(ctx->meta->seq, &d, sizeof(d)) ? 1 : 0;
}
