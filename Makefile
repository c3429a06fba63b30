# The front door. Two commands on a fresh Debian or Ubuntu that has Rust: `make run` and `make test`.
# Packages are installed only where a command is missing, and nothing is fetched but by apt and cargo.

CARGO ?= cargo
NEED := .ci/need
# What this machine can build beyond the default, such as BPF; see there.
FEATURES := .ci/features

.DEFAULT_GOAL := help
.PHONY: help run build test outage stress programs hundred conformance soak-relay tidy bpf check

help: ## list these commands
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r name what; do \
	  printf '  make %-11s %s\n' "$$name" "$$what"; done

run: build ## build, then show the connections of this host
	@$${CARGO_TARGET_DIR:-target}/release/halfopen

build: ## build target/release/halfopen, with BPF where its libraries are to be had
	@$(NEED) cc=gcc
	@$(NEED) --tool $(CARGO)
	features=$$($(FEATURES)); $(CARGO) build --release --package halfopen-cli $$features

test: ## install what the tests need, then run all of them, doc tests too
	@$(NEED) cc=gcc ip=iproute2 nft=nftables conntrack=conntrack unshare=util-linux strace=strace rpcbind=rpcbind "telnet=inetutils-telnet|telnet" openssl=openssl systemd-analyze=systemd redis-server=redis-server redis-cli=redis-tools \
	  dnsmasq=dnsmasq-base busybox=busybox pg_ctlcluster=postgresql psql=postgresql-client sshd=openssh-server ssh=openssh-client websocketd=websocketd tshark=tshark tcpdump=tcpdump
	@$(NEED) --tool $(CARGO)
	@# The end-to-end tests start the program itself, which no test target builds by itself.
	@features=$$($(FEATURES)); set -ex; \
	$(CARGO) build --package halfopen-cli $$features; \
	$(CARGO) build --package halfopen --examples; \
	if $(CARGO) nextest --version >/dev/null 2>&1; then \
	  $(CARGO) nextest run --workspace $$features; else \
	  $(CARGO) test --workspace $$features --lib --bins --tests; fi; \
	$(CARGO) test --workspace $$features --doc

outage: ## keep 20,000 connections at once, and hold them for a minute: none may die
	@$(NEED) cc=gcc ip=iproute2 unshare=util-linux perl=perl
	@$(NEED) --tool $(CARGO)
	features=$$($(FEATURES)); $(CARGO) build --package halfopen-cli $$features
	$(CARGO) test --package halfopen-e2e twenty_thousand -- --ignored --nocapture

stress: ## 200,000 probes of connections in use: no byte may change, no call fail, no peer be called dead
	@$(NEED) cc=gcc ip=iproute2 unshare=util-linux
	@$(NEED) --tool $(CARGO)
	features=$$($(FEATURES)); $(CARGO) build --package halfopen-cli $$features
	$(CARGO) test --package halfopen-e2e two_hundred_thousand -- --ignored --nocapture

programs: ## real programs, one in Java among them, are kept and learn of a cut cable in time
	@$(NEED) cc=gcc ip=iproute2 unshare=util-linux "telnet=inetutils-telnet|telnet" redis-server=redis-server redis-cli=redis-tools pg_ctlcluster=postgresql psql=postgresql-client \
	  sshd=openssh-server ssh=openssh-client websocketd=websocketd java=default-jdk-headless
	@$(NEED) --tool $(CARGO)
	features=$$($(FEATURES)); $(CARGO) build --package halfopen-cli $$features
	$(CARGO) test --package halfopen-e2e one_in_java -- --ignored --nocapture

hundred: ## kill a hundred rehearsals, let a hundred end, interrupt some: nothing may be left
	@$(NEED) cc=gcc ip=iproute2 unshare=util-linux nft=nftables conntrack=conntrack
	@$(NEED) --tool $(CARGO)
	$(CARGO) build --package halfopen-cli
	$(CARGO) test --package halfopen-e2e hundred -- --ignored --nocapture

conformance: ## check each relay of docs/conformance/peers.toml, case by case, and write the tables of docs/conformance.md
	@$(NEED) cc=gcc ip=iproute2 unshare=util-linux haproxy=haproxy nginx=nginx-light socat=socat rinetd=rinetd redir=redir simpleproxy=simpleproxy
	@test -e /usr/lib/nginx/modules/ngx_stream_module.so || { echo "install libnginx-mod-stream"; exit 1; }
	@$(NEED) --tool $(CARGO)
	$(CARGO) build --package halfopen-cli --package halfopen-conformance --examples --bins
	$(CARGO) build --release --manifest-path docs/conformance/realm/Cargo.toml --target-dir target/realm
	$(CARGO) xtask conformance

soak-relay: ## mixed load and faults through our relay for an hour (SOAK=10m: shorter): nothing may be left
	@$(NEED) cc=gcc ip=iproute2 unshare=util-linux
	@$(NEED) --tool $(CARGO)
	$(CARGO) build --package halfopen-cli
	HALFOPEN_SOAK=$${SOAK:-1h} $(CARGO) test --package halfopen-e2e a_soak_with_faults -- --nocapture

tidy: ## check the style that compilers do not check
	@$(NEED) cc=gcc
	$(CARGO) xtask tidy

bpf: ## compile the BPF programs anew, after a change of crates/sys/bpf
	@$(NEED) cc=gcc clang=clang llvm-strip=llvm header:bpf/bpf_helpers.h=libbpf-dev
	$(CARGO) xtask bpf

check: ## everything that must hold before a change goes in
	@bash .ci/run
