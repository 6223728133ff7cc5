# Everything a person or a machine does with this repository. `make demo` and `make test` need nothing but Rust,
# Python 3, Node and apt.

CARGO ?= cargo

.PHONY: demo test check fix soak peers

demo: ## two rollouts on an embedded world: one succeeds, one takes itself back
	$(CARGO) run --quiet --release --locked -- demo

test: peers ## every test, peers included
	$(CARGO) test --locked --no-fail-fast

peers: ## install the programs of others that tests/peers runs against
	sh tests/peers/setup.sh

check: peers ## what must be clean before anything lands
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --document-private-items --locked
	sh tests/artefacts.sh

fix: ## format, and mend what clippy can
	$(CARGO) fmt
	$(CARGO) clippy --all-targets --fix --allow-dirty --allow-staged

soak: peers ## the long rounds; results belong into docs/reliability.md
	GREENSHIFT_KILL_ROUNDS=200 PROPTEST_CASES=20000 $(CARGO) test --release --locked --test it -- --nocapture kill_ invariant
	GREENSHIFT_JUDGE_ROLLOUTS=2000 $(CARGO) test --release --locked --test judge -- --nocapture
