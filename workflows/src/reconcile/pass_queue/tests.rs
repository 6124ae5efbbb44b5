use super::*;

fn id(text: &str) -> DefinitionId {
    text.parse().unwrap()
}

fn dry() -> PassRequest {
    PassRequest {
        dry_run: true,
        ..PassRequest::full(Trigger::Sync)
    }
}

fn confirming(digest: &str) -> PassRequest {
    PassRequest {
        confirm: Some(digest.to_owned()),
        ..PassRequest::full(Trigger::Sync)
    }
}

#[test]
fn requests_that_one_pass_can_serve_share_its_number() {
    let mut state = State::default();
    assert_eq!(ask(&mut state, PassRequest::full(Trigger::Interval)), 1);
    assert_eq!(ask(&mut state, PassRequest::full(Trigger::Signal)), 1);
    assert_eq!(ask(&mut state, PassRequest::full(Trigger::Start)), 1);
    assert_eq!(state.pending.len(), 1);
    assert_eq!(state.pending[0].trigger, Trigger::Signal);
}

#[test]
fn dry_runs_and_confirmations_get_passes_of_their_own_kind() {
    let mut state = State::default();
    let numbers = [
        ask(&mut state, PassRequest::full(Trigger::Change)),
        ask(&mut state, dry()),
        ask(&mut state, confirming("x")),
        ask(&mut state, confirming("y")),
        ask(&mut state, dry()),
        ask(&mut state, confirming("x")),
        ask(&mut state, PassRequest::full(Trigger::Sync)),
    ];
    assert_eq!(numbers, [1, 2, 3, 4, 2, 3, 1]);
}

#[test]
fn a_fast_pass_gathers_definitions_until_a_full_one_is_asked_for() {
    let mut state = State::default();
    ask(
        &mut state,
        PassRequest::only(Trigger::Change, vec![id("b"), id("a")]),
    );
    ask(
        &mut state,
        PassRequest::only(Trigger::Change, vec![id("c"), id("b")]),
    );
    assert_eq!(state.pending[0].only, Some(vec![id("a"), id("b"), id("c")]));
    ask(&mut state, PassRequest::full(Trigger::Interval));
    assert_eq!(state.pending[0].only, None);
    ask(
        &mut state,
        PassRequest::only(Trigger::Change, vec![id("d")]),
    );
    assert_eq!(state.pending[0].only, None);
    assert_eq!(state.pending.len(), 1);
}

#[test]
fn too_many_definitions_make_a_full_pass() {
    let mut state = State::default();
    let ids = |from: usize| (from..from + 60).map(|n| id(&format!("d{n}"))).collect();
    ask(&mut state, PassRequest::only(Trigger::Change, ids(0)));
    assert!(state.pending[0].only.is_some());
    ask(&mut state, PassRequest::only(Trigger::Change, ids(60)));
    assert!(state.pending[0].only.is_none());
}

#[test]
fn a_request_does_not_join_a_pass_that_runs() {
    let mut state = State::default();
    ask(&mut state, PassRequest::full(Trigger::Sync));
    let running = state.pending.pop_front().unwrap();
    assert_eq!(ask(&mut state, PassRequest::full(Trigger::Sync)), 2);
    // After its failure both wait, in their order, and more join the first.
    assert_eq!(failed(&mut state, running), FailedPass::Kept);
    assert_eq!(state.pending[0].pass, 1);
    assert_eq!(ask(&mut state, PassRequest::full(Trigger::Signal)), 1);
}

#[test]
fn only_requested_passes_fail_for_good() {
    let mut state = State::default();
    for kind in [dry(), confirming("x")] {
        ask(&mut state, kind);
        for _ in 1..ATTEMPTS {
            let pass = state.pending.pop_front().unwrap();
            assert_eq!(failed(&mut state, pass), FailedPass::Kept);
        }
        let pass = state.pending.pop_front().unwrap();
        assert!(matches!(failed(&mut state, pass), FailedPass::GivenUp(_)));
        assert!(state.pending.is_empty());
    }
    ask(&mut state, PassRequest::full(Trigger::Change));
    for _ in 0..100 {
        let pass = state.pending.pop_front().unwrap();
        assert_eq!(failed(&mut state, pass), FailedPass::Kept);
    }
}

#[test]
fn confirmations_cannot_fill_the_queue() {
    let mut state = State::default();
    let mut refused = None;
    for n in 0..100 {
        let next = confirming(&format!("digest{n}"));
        match admits(&state, &next) {
            Ok(()) => {
                ask(&mut state, next);
            }
            Err(problem) => {
                refused.get_or_insert(problem.to_string());
            }
        }
    }
    assert_eq!(
        refused.as_deref(),
        Some("too many passes are pending (12); try again later")
    );
    // One that joins is taken, and so are the workflow's own.
    assert_eq!(admits(&state, &confirming("digest0")), Ok(()));
    ask(&mut state, PassRequest::full(Trigger::Interval));
    assert!(state.pending.len() < PENDING_KEPT);
}

#[test]
fn widening_makes_every_waiting_pass_full() {
    let mut state = State::default();
    ask(
        &mut state,
        PassRequest::only(Trigger::Change, vec![id("a")]),
    );
    assert!(!full_waits(&state));
    widen(&mut state);
    assert!(full_waits(&state));
}
