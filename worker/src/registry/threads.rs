//! Runs the same work on many items with several threads.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::thread;

/// Minimum number of items per thread: fewer are not worth starting a thread.
const PER_THREAD: usize = 64;
/// Maximum number of threads. More would take memory and save little time.
const THREADS_LIMIT: usize = 4;

/// The results of `work`, in the order of `items`. Blocks. A panic of `work` panics the caller.
pub(super) fn map_in_order<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let threads = (items.len() / PER_THREAD).clamp(1, cores.min(THREADS_LIMIT));
    let work = |items: &[T]| items.iter().map(&work).collect::<Vec<R>>();
    if threads == 1 {
        return work(items);
    }
    thread::scope(|scope| {
        let parts: Vec<_> = items
            .chunks(items.len().div_ceil(threads))
            .map(|part| scope.spawn(|| work(part)))
            .collect();
        parts
            .into_iter()
            .flat_map(|part| part.join().unwrap_or_else(|panic| resume_unwind(panic)))
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_that_of_the_items() {
        for count in [0, 1, 127, 128, 129, 1000, 1001] {
            let items: Vec<usize> = (0..count).collect();
            let doubled: Vec<usize> = items.iter().map(|item| item * 2).collect();
            assert_eq!(map_in_order(&items, |item| item * 2), doubled);
        }
    }

    #[test]
    #[should_panic(expected = "at 700")]
    fn a_panic_in_a_thread_reaches_the_caller() {
        let items: Vec<usize> = (0..1000).collect();
        map_in_order(&items, |item| assert!(*item != 700, "at {item}"));
    }
}
