//! Dropping a client in bounded time.
//!
//! A consumer that is dropped waits for its group's side to terminate, and an assignment that arrives meanwhile can go
//! unanswered for ever. So clients are dropped on a thread of their own; one that does not finish is left behind: it
//! holds nothing that a new one would need.

use std::sync::mpsc::channel;
use std::time::Duration;

/// How long a client may take to close.
const CLOSE: Duration = Duration::from_secs(5);

/// Drops the client; whether it was gone in time.
pub(super) fn closed_within<T: Send + 'static>(what: &str, client: T) -> bool {
    let (tell, told) = channel();
    std::thread::spawn(move || {
        drop(client);
        // Nobody listens any more where it took too long.
        let _ = tell.send(());
    });
    let is_gone = told.recv_timeout(CLOSE).is_ok();
    if !is_gone {
        tracing::warn!(target: "till::kafka", "{what} did not close within {} s and is left behind", CLOSE.as_secs());
    }
    is_gone
}
