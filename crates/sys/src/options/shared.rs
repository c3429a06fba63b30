//! Owns the sharing of options that are alike. Reads none.

use std::{collections::HashSet, sync::Arc};

use halfopen_core::SocketOptions;

/// Options that were met before: a program gives most of its sockets the same.
#[derive(Debug, Default)]
pub struct SharedOptions {
    last: Option<Arc<SocketOptions>>,
    all: HashSet<Arc<SocketOptions>>,
}

impl SharedOptions {
    /// The same as `options`, from those met before if they are among them.
    pub fn share(&mut self, options: SocketOptions) -> Arc<SocketOptions> {
        if let Some(last) = self.last.as_ref().filter(|last| ***last == options) {
            return Arc::clone(last);
        }
        let shared = self.all.get(&options).map(Arc::clone).unwrap_or_else(|| {
            let new = Arc::new(options);
            self.all.insert(Arc::clone(&new));
            new
        });
        self.last = Some(Arc::clone(&shared));
        shared
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_are_alike_are_one() {
        let options = |count| SocketOptions { syn_retries: Some(count), ..Default::default() };
        let mut shared = SharedOptions::default();
        let first = shared.share(options(1));
        let other = shared.share(options(2));
        assert!(Arc::ptr_eq(&first, &shared.share(options(1))));
        assert!(Arc::ptr_eq(&other, &shared.share(options(2))));
        assert_eq!((first.syn_retries, other.syn_retries), (Some(1), Some(2)));
    }
}
