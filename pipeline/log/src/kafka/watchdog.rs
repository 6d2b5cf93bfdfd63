//! Ends what a library call that never comes back would hold up for ever.
//!
//! librdkafka's transactional calls have timeouts and have been seen to outlive them. Such a process would keep its
//! partitions and do nothing. It is ended instead: nothing is lost by that, since every frontier lies in a commit.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How much longer than its own timeout a call may take before it counts as hung.
const GRACE: Duration = Duration::from_secs(10);

/// A call that is under way.
struct Call {
    number: u64,
    doing: String,
    bound: Duration,
}

#[derive(Default)]
struct State {
    call: Option<Call>,
    calls: u64,
    is_over: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Watches the calls of one thread from another.
pub(super) struct Watchdog {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    grace: Duration,
}

impl Watchdog {
    /// Ends the process, with a line on standard error, when a call hangs.
    pub(super) fn ending_the_process() -> Self {
        Self::new(GRACE, |doing, bound| {
            eprintln!(
                "error: {doing}: the Kafka client did not come back within {} s; the process ends here so that another \
                 can take over. Nothing is lost: start it again",
                bound.as_secs()
            );
            std::process::exit(1);
        })
    }

    /// Calls `on_hang`, from its own thread, with what was being done and the time that it was given.
    pub(super) fn new(grace: Duration, on_hang: impl Fn(&str, Duration) + Send + 'static) -> Self {
        let shared = Arc::new(Shared::default());
        let watched = Arc::clone(&shared);
        let thread = std::thread::spawn(move || watch(&watched, &on_hang));
        Self { shared, thread: Some(thread), grace }
    }

    /// Makes a call that should come back within `timeout`.
    pub(super) fn watched<T>(&self, doing: &str, timeout: Duration, call: impl FnOnce() -> T) -> T {
        {
            let mut state = self.shared.lock();
            state.calls += 1;
            let number = state.calls;
            state.call = Some(Call { number, doing: doing.to_string(), bound: timeout + self.grace });
        }
        self.shared.changed.notify_one();
        let result = call();
        self.shared.lock().call = None;
        result
    }
}

/// One wait for each call that is seen. A call that ended lets the wait run out: it then looks for the next one.
fn watch(shared: &Shared, on_hang: &dyn Fn(&str, Duration)) {
    let mut state = shared.lock();
    while !state.is_over {
        let Some(call) = &state.call else {
            state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        let (number, bound) = (call.number, call.bound);
        let is_same =
            |state: &mut State| !state.is_over && state.call.as_ref().is_some_and(|call| call.number == number);
        let (after, wait) =
            shared.changed.wait_timeout_while(state, bound, is_same).unwrap_or_else(PoisonError::into_inner);
        state = after;
        let hung = state.call.as_ref().filter(|call| wait.timed_out() && call.number == number);
        if let Some(doing) = hung.map(|call| call.doing.clone()) {
            state.call = None;
            drop(state);
            on_hang(&doing, bound);
            state = shared.lock();
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.shared.lock().is_over = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // It has nothing to tell: a watcher that panicked has printed so.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};

    use super::*;

    const SHORT: Duration = Duration::from_millis(30);
    const LONG: Duration = Duration::from_secs(20);

    fn watchdog() -> (Watchdog, Receiver<String>) {
        let (tell, told) = channel();
        let on_hang =
            move |doing: &str, _: Duration| tell.send(doing.to_string()).expect("the test listens to the end");
        (Watchdog::new(SHORT, on_hang), told)
    }

    #[test]
    fn a_call_that_hangs_is_told_by_name() {
        let (watchdog, told) = watchdog();
        watchdog.watched("quick", LONG, || ());
        let told = watchdog.watched("hung", SHORT, || told.recv_timeout(LONG));
        assert_eq!(told.as_deref(), Ok("hung"));
    }

    /// Fails when a call's end does not disarm the watch, or when the time of one call runs on into the next.
    #[test]
    fn calls_that_come_back_are_not_told_of() {
        let (watchdog, told) = watchdog();
        for _ in 0..20 {
            watchdog.watched("brief", SHORT, || std::thread::sleep(SHORT / 4));
        }
        std::thread::sleep(SHORT * 4);
        drop(watchdog);
        assert_eq!(told.iter().collect::<Vec<_>>(), Vec::<String>::new());
    }

    #[test]
    fn the_result_comes_back() {
        let (watchdog, _told) = watchdog();
        assert_eq!(watchdog.watched("sum", LONG, || 40 + 2), 42);
    }
}
