/* SPDX-License-Identifier: GPL-2.0 OR MIT OR Apache-2.0 */
/* The few fields of kernel structures that the iterators read, those of all kernels in one structure.
 * Offsets are filled in when the object is loaded (CO-RE), from the running kernel's own BTF; a field that
 * a kernel lacks is asked for with bpf_core_field_exists first. Each structure through which a program
 * begins to read is looked for among all of the kernel's types, which takes most of a millisecond: so all
 * of a full socket is read through tcp_sock. Read: linux include/net/sock.h, include/linux/tcp.h. */
#pragma once

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef signed char __s8;
typedef short __s16;
typedef int __s32;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u64 __be64;
typedef __u32 __wsum;
typedef _Bool bool;

enum bpf_map_type { BPF_MAP_TYPE_UNSPEC };
enum sock_flags { SOCK_DEAD, SOCK_DONE, SOCK_URGINLINE, SOCK_KEEPOPEN };

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct hlist_node { void *next, **pprev; };
struct timer_list { struct hlist_node entry; unsigned long expires; };
struct seq_file;
struct bpf_iter_meta { struct seq_file *seq; __u64 session_id, seq_num; };

struct ns_common { __u32 inum; };
struct net { struct ns_common ns; };
typedef struct { struct net *net; } possible_net_t;

struct in6_addr { union { __u8 u6_addr8[16]; __be32 u6_addr32[4]; } in6_u; };

struct sock_common {
	__be32 skc_daddr, skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;
	unsigned short skc_family;
	volatile unsigned char skc_state;
	unsigned char skc_reuse : 4;
	int skc_bound_dev_if;
	unsigned long skc_flags;
	possible_net_t skc_net;
	struct in6_addr skc_v6_daddr, skc_v6_rcv_saddr;
};

struct inode { unsigned long i_ino; };
struct socket { short type; };
struct socket_alloc { struct socket socket; struct inode vfs_inode; };
struct kernfs_node { __u64 id; };
struct cgroup { struct kernfs_node *kn; };
struct sock_cgroup_data { struct cgroup *cgroup; };
typedef struct { __u32 val; } kuid_t;

struct sock {
	struct sock_common __sk_common;
	struct socket *sk_socket;
	struct timer_list sk_timer;
	/* After 6.18 the two timers change places: keepalive's gets a field of its own. */
	struct timer_list tcp_retransmit_timer;
	struct sock_cgroup_data sk_cgrp_data;
	kuid_t sk_uid;
	int sk_err, sk_err_soft;
	__u32 sk_ack_backlog, sk_max_ack_backlog;
	__u8 sk_shutdown;
	/* Since 6.18. */
	unsigned long sk_ino;
};

struct inet_sock { struct sock sk; };
struct request_sock_queue { __u8 rskq_defer_accept; };
struct inet_connection_sock {
	struct inet_sock icsk_inet;
	struct request_sock_queue icsk_accept_queue;
	struct timer_list icsk_retransmit_timer, icsk_keepalive_timer;
	/* Until 6.17 the expiry of the retransmission timer stood beside it. */
	unsigned long icsk_timeout;
	/* Since 6.15. */
	__u32 icsk_rto_max;
	__u32 icsk_rto, icsk_rto_min, icsk_user_timeout, icsk_probes_tstamp;
	__u8 icsk_ca_state : 5;
	__u8 icsk_retransmits, icsk_pending, icsk_backoff, icsk_syn_retries, icsk_probes_out;
	struct { __u32 lrcvtime; } icsk_ack;
};
struct tcp_options_received { __u16 sack_ok : 4, tstamp_ok : 1; };
struct tcp_sock {
	struct inet_connection_sock inet_conn;
	__u32 rcv_nxt, copied_seq, write_seq, snd_una, snd_nxt, snd_wnd, rcv_wnd;
	__u32 rcv_tstamp, lsndtime, srtt_us, mdev_us, packets_out, retrans_out, total_retrans;
	__u32 segs_in, segs_out, retrans_stamp, tlp_high_seq;
	__u64 bytes_received, bytes_acked;
	unsigned int keepalive_time, keepalive_intvl;
	__u8 keepalive_probes;
	int linger2;
	__u8 thin_lto : 1;
	__u32 chrono_start, chrono_stat[3];
	__u8 chrono_type : 2;
	struct tcp_options_received rx_opt;
	/* Since 6.7. */
	__u8 tcp_usec_ts : 1;
	__u16 total_rto, total_rto_recoveries;
	__u32 total_rto_time, rto_stamp;
};

struct inet_timewait_sock {
	struct sock_common __tw_common;
	volatile unsigned char tw_substate;
	struct timer_list tw_timer;
};
struct tcp_timewait_sock { struct inet_timewait_sock tw_sk; };
struct request_sock {
	struct sock_common __req_common;
	__u8 num_retrans : 7, num_timeout : 7;
	struct timer_list rsk_timer;
};
struct inet_request_sock { struct request_sock req; };
struct tcp_request_sock { struct inet_request_sock req; };

struct task_struct { int tgid; };
struct file { void *private_data; };

struct bpf_iter__tcp {
	struct bpf_iter_meta *meta;
	struct sock_common *sk_common;
	__u32 uid;
};
struct bpf_iter__task_file {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	__u32 fd;
	struct file *file;
};

#pragma clang attribute pop
