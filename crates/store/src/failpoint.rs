//! Points at which a test makes this process die or wait: one before and after each step that makes something durable.
//!
//! ```text
//! FAILPOINTS='log-before-sync=300*off->return'      dies (abort) at the 301st pass
//! FAILPOINTS='send-append=return(75)'               waits 75 ms each time
//! ```
//!
//! They exist in builds with debug assertions only. The points are the calls of the two macros in this crate.

/// Dies here if FAILPOINTS says so.
macro_rules! failpoint {
    ($name:literal) => {
        #[cfg(debug_assertions)]
        $crate::failpoint::reach($name);
    };
}

/// Waits here, in a task, as long as FAILPOINTS says.
macro_rules! delaypoint {
    ($name:literal) => {
        #[cfg(debug_assertions)]
        $crate::failpoint::wait($name).await;
    };
}

pub(crate) use {delaypoint, failpoint};

/// Reads FAILPOINTS, once in a process.
pub(crate) fn setup() {
    #[cfg(debug_assertions)]
    {
        static ONCE: std::sync::Once = std::sync::Once::new();
        // Dropped, a scenario would clear its points.
        ONCE.call_once(|| std::mem::forget(fail::FailScenario::setup()));
    }
}

#[cfg(debug_assertions)]
pub(crate) fn reach(name: &'static str) {
    fail::fail_point!(name, |_| {
        eprintln!("failpoint {name}: this process dies");
        std::process::abort()
    });
}

#[cfg(debug_assertions)]
pub(crate) async fn wait(name: &'static str) {
    let milliseconds = || -> Option<u64> {
        fail::fail_point!(name, |argument: Option<String>| argument.and_then(|text| text.parse().ok()));
        None
    };
    if let Some(milliseconds) = milliseconds() {
        tokio::time::sleep(std::time::Duration::from_millis(milliseconds)).await;
    }
}
