//! Effects that are under way, and the order in which they end: the order of the history,
//! whatever their ids are.
//!
//! A workflow task brings events in the order of the history, and wakes the futures that
//! wait for them in that order. So the future that was woken first ended first. A call that
//! ended before its limit passed is in time, even if the workflow learns of both in one
//! workflow task, because there was no worker or because the worker was slow.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use almanac_steps::machine::EffectId;

type Future<'c, T> = Pin<Box<dyn std::future::Future<Output = T> + 'c>>;

/// Effects that are under way.
pub(super) struct CompletionOrder<'c, T> {
    under_way: BTreeMap<EffectId, Future<'c, T>>,
    bells: Arc<WakeOrder>,
}

impl<'c, T> CompletionOrder<'c, T> {
    pub(super) fn new() -> Self {
        Self {
            under_way: BTreeMap::new(),
            bells: Arc::default(),
        }
    }

    pub(super) fn insert(&mut self, id: EffectId, effect: Future<'c, T>) {
        self.under_way.insert(id, effect);
        // The first poll gives the effect its waker.
        self.bells.lock().rung.push_back(id);
    }

    pub(super) fn remove(&mut self, id: EffectId) {
        self.under_way.remove(&id);
    }

    /// Returns the effects that have ended since the last call, in the order of their ends.
    pub(super) fn poll(&mut self, cx: &Context<'_>) -> Vec<(EffectId, T)> {
        let rung = {
            let mut bells = self.bells.lock();
            bells.listener = Some(cx.waker().clone());
            std::mem::take(&mut bells.rung)
        };
        let mut ended = Vec::new();
        for id in rung {
            let Some(effect) = self.under_way.get_mut(&id) else {
                continue;
            };
            let bells = Arc::clone(&self.bells);
            let waker = Waker::from(Arc::new(EffectWaker { id, bells }));
            if let Poll::Ready(end) = effect.as_mut().poll(&mut Context::from_waker(&waker)) {
                self.under_way.remove(&id);
                ended.push((id, end));
            }
        }
        ended
    }
}

/// The effects that were woken, in order, and the waker of the task that polls them.
#[derive(Default)]
struct WakeOrder(Mutex<WokenEffects>);

#[derive(Default)]
struct WokenEffects {
    rung: VecDeque<EffectId>,
    listener: Option<Waker>,
}

impl WakeOrder {
    fn lock(&self) -> MutexGuard<'_, WokenEffects> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct EffectWaker {
    id: EffectId,
    bells: Arc<WakeOrder>,
}

impl Wake for EffectWaker {
    fn wake(self: Arc<Self>) {
        let listener = {
            let mut bells = self.bells.lock();
            bells.rung.push_back(self.id);
            bells.listener.clone()
        };
        if let Some(listener) = listener {
            listener.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::future::poll_fn;
    use std::rc::Rc;

    use super::*;

    /// An effect outside the workflow, which ends at `end`.
    #[derive(Default, Clone)]
    struct Outside(Rc<RefCell<(bool, Option<Waker>)>>);

    impl Outside {
        fn end(&self) {
            let waker = {
                let mut inner = self.0.borrow_mut();
                inner.0 = true;
                inner.1.take()
            };
            waker.into_iter().for_each(Waker::wake);
        }

        fn effect(&self) -> Future<'static, ()> {
            let outside = self.clone();
            Box::pin(poll_fn(move |cx| {
                let mut inner = outside.0.borrow_mut();
                inner.1 = Some(cx.waker().clone());
                if inner.0 {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                }
            }))
        }
    }

    #[test]
    fn effects_come_in_the_order_in_which_they_became_ready() {
        let mut endings = CompletionOrder::new();
        let (limit, call, other) = (Outside::default(), Outside::default(), Outside::default());
        for (id, outside) in [(1, &limit), (2, &call), (3, &other)] {
            endings.insert(id, outside.effect());
        }
        let cx = Context::from_waker(Waker::noop());
        assert_eq!(endings.poll(&cx), []);
        call.end();
        limit.end();
        assert_eq!(endings.poll(&cx), [(2, ()), (1, ())]);
        assert_eq!(endings.poll(&cx), []);
        other.end();
        endings.remove(3);
        assert_eq!(endings.poll(&cx), [], "it was given up");
    }

    #[test]
    fn an_effect_that_ended_before_the_first_poll_is_found_by_it() {
        let mut endings = CompletionOrder::new();
        let (first, second) = (Outside::default(), Outside::default());
        endings.insert(7, first.effect());
        endings.insert(8, second.effect());
        second.end();
        first.end();
        let cx = Context::from_waker(Waker::noop());
        assert_eq!(endings.poll(&cx), [(7, ()), (8, ())]);
    }
}
