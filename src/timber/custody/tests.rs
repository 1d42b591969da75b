//! Tests of the complete custody table, and of random event sequences against a model that does not use the
//! table.

use super::content::{Content, Corrects, LogBusiness, LogPublic};
use super::state::{LogState, last_reversible, replay, state_at};
use super::table::{CallerRoles, From, Refused, TABLE, To, check, gives};
use crate::base::ids::{KeyId, LineId, LogId, OperationId, OrganizationId};
use crate::base::units::{Moment, Volume};
use crate::evidence::chain::Hash;
use crate::timber::event::parts::{LocalTime, TicketName};
use crate::timber::event::types::LogEventType;
use crate::timber::event::vocabulary::{Status, TransferOf};
use crate::timber::seal::SealNumber;
use crate::timber::wood::species::{LogKind, MeasurementMethod, Species, Wood};
use chrono::{DateTime, Utc};
use proptest::prelude::*;
use uuid::Uuid;

const HOLDER: u128 = 1;
const BUYER: u128 = 2;
const CARRIER: u128 = 3;
const INSPECTOR: u128 = 4;
const CUSTODIAN: u128 = 5;

fn org(n: u128) -> OrganizationId {
    OrganizationId(Uuid::from_u128(n))
}

fn roles(n: u128) -> CallerRoles {
    CallerRoles { id: org(n), inspector: n == INSPECTOR, operator: false }
}

fn now() -> DateTime<Utc> {
    Moment::parse("2026-10-05T10:00:00+05:00").unwrap().instant()
}

fn event(seq: u32, actor: u128, event_type: LogEventType) -> Content {
    let moment = Moment::parse("2026-10-05T09:30:00+05:00").unwrap();
    let public = LogPublic::bare(event_type, LogKind::Log, moment.day().day(), None);
    let business = LogBusiness::bare(
        LogId(Uuid::from_u128(99)),
        LocalTime::of(moment),
        org(actor),
        KeyId(Uuid::from_u128(7)),
        OperationId(Uuid::from_u128(8)),
    );
    Content { seq, public, business }
}

fn harvested() -> Content {
    let mut first = event(1, HOLDER, LogEventType::Harvested);
    first.public.species = Species::parse("pinus_sylvestris").ok();
    first.public.volume_m3 = Volume::parse("0.33").ok();
    first.public.seal = SealNumber::parse("KZ000000001").ok();
    first.public.ticket = Some(TicketName { number: "0001245".into(), series: "АБ".into() });
    first.business.wood = Some(Wood::Commercial);
    first.business.method = Some(MeasurementMethod::Gost2708_75);
    first.business.line = Some(LineId(Uuid::from_u128(5)));
    first
}

fn next(seq: u32, actor: u128, event_type: LogEventType) -> Content {
    let mut next = event(seq, actor, event_type);
    match event_type {
        LogEventType::Transferred => {
            next.business.to = Some(org(BUYER));
            next.business.of = Some(TransferOf::Both);
        }
        LogEventType::Loaded => next.business.carrier = Some(org(CARRIER)),
        LogEventType::SealReplaced => next.public.seal = SealNumber::parse("KZ000000002").ok(),
        LogEventType::Seized => next.business.custodian = Some(org(CUSTODIAN)),
        LogEventType::Confiscated => next.business.to = Some(org(CUSTODIAN)),
        LogEventType::Corrected => {
            next.business.annul = true;
            next.business.corrects = Some(Corrects { seq: 1, hash: Hash::ZERO });
        }
        _ => {}
    }
    next
}

/// A copy of `event`; if the event is a transfer, the copy hands over `of`.
fn offered(mut event: Content, of: TransferOf) -> Content {
    event.business.of = event.business.of.map(|_| of);
    event
}

#[test]
fn every_event_type_has_one_line_and_a_status_only_where_the_table_says() {
    for event_type in LogEventType::ALL {
        assert_eq!(TABLE.iter().filter(|rule| rule.event == *event_type).count(), 1, "{event_type}");
    }
    for rule in TABLE.iter().filter(|rule| rule.event.is_posted() && rule.event != LogEventType::Corrected) {
        for status in Status::ALL {
            let mut state = LogState::first(&harvested()).unwrap();
            state.status = *status;
            state.before_loading = Some(Status::Received);
            let before = state.status;
            state.apply(&next(2, HOLDER, rule.event)).unwrap();
            let expected = match rule.to {
                To::Becomes(after) => after,
                To::BeforeLoading if before == Status::Loaded => Status::Received,
                To::BeforeLoading | To::Unchanged | To::ByContent => before,
            };
            assert_eq!(state.status, expected, "{} from {status}", rule.event);
        }
    }
}

#[test]
fn with_a_void_seal_only_eight_things_may_happen() {
    let mut state = LogState::first(&harvested()).unwrap();
    state.seal_void = true;
    let mut may: Vec<LogEventType> = Vec::new();
    for event_type in LogEventType::ALL.iter().copied().filter(|e| e.is_posted()) {
        for n in [HOLDER, BUYER, CARRIER, INSPECTOR] {
            if check(event_type, &state, roles(n), now()).is_ok() && !may.contains(&event_type) {
                may.push(event_type);
            }
        }
    }
    let expected = [
        LogEventType::Inspected,
        LogEventType::Detained,
        LogEventType::Seized,
        LogEventType::Confiscated,
        LogEventType::Lost,
        LogEventType::Destroyed,
        LogEventType::SealReplaced,
        LogEventType::Corrected,
    ];
    assert_eq!(may, expected);
}

#[test]
fn a_stranger_may_nothing_but_try_to_correct() {
    let state = LogState::first(&harvested()).unwrap();
    for event_type in LogEventType::ALL.iter().copied().filter(|e| *e != LogEventType::Corrected) {
        let refused = check(event_type, &state, roles(42), now());
        assert!(matches!(refused, Err(Refused::NotYours | Refused::Transition)), "{event_type}");
    }
}

/// The model's state: the status as a literal, and who holds and owns the log.
#[derive(Clone, Debug, PartialEq)]
struct Model {
    status: &'static str,
    holder: u128,
    owner: u128,
    pending: Option<TransferOf>,
    seal_void: bool,
    held: bool,
    /// The status before the log was loaded.
    loaded_from: &'static str,
}

impl Model {
    /// Completes the pending transfer: the buyer gets possession, ownership or both, as offered.
    fn settle(&mut self) {
        match self.pending.take() {
            Some(TransferOf::Both) => (self.holder, self.owner) = (BUYER, BUYER),
            Some(TransferOf::Possession) => self.holder = BUYER,
            Some(TransferOf::Ownership) => self.owner = BUYER,
            None => {}
        }
    }

    fn step(&mut self, event: LogEventType, actor: u128, of: TransferOf) -> bool {
        use LogEventType as E;
        if event == E::Corrected {
            // As an annulment, which ends the life of the log.
            let annuls = self.status != "annulled" && (actor == INSPECTOR || !self.held);
            if annuls {
                (self.status, self.seal_void, self.pending) = ("annulled", true, None);
            }
            return annuls;
        }
        let despite_void = matches!(
            event,
            E::Inspected
                | E::Detained
                | E::Released
                | E::Seized
                | E::Confiscated
                | E::Lost
                | E::Destroyed
                | E::SealReplaced
        );
        if self.seal_void && !despite_void {
            return false;
        }
        let despite_hold = match event {
            E::Inspected
            | E::Detained
            | E::Released
            | E::Seized
            | E::Confiscated
            | E::Arrived
            | E::Received
            | E::Rejected
            | E::Withdrawn => true,
            E::SealVoided | E::Found => actor == INSPECTOR,
            E::Lost | E::Destroyed => actor == self.holder,
            _ => false,
        };
        if self.held && !despite_hold {
            return false;
        }
        let open = !["processed", "exported", "sold", "lost", "destroyed", "annulled"].contains(&self.status);
        let at_rest = ["at_felling", "stored", "received"].contains(&self.status);
        let on_the_way = ["loaded", "in_transit", "arrived"].contains(&self.status);
        let (is_holder, holds_and_owns) = (actor == self.holder, actor == self.holder && actor == self.owner);
        let offered = self.pending.is_some();
        let next = match event {
            E::Stored if at_rest && is_holder => "stored",
            E::Loaded if at_rest && is_holder => {
                self.loaded_from = self.status;
                "loaded"
            }
            E::Unloaded if self.status == "loaded" && is_holder => self.loaded_from,
            E::Departed if self.status == "loaded" && (is_holder || actor == CARRIER) => "in_transit",
            E::Arrived if self.status == "in_transit" && (is_holder || actor == CARRIER) => "arrived",
            E::Received if self.status == "arrived" && (is_holder || (offered && actor == BUYER)) => {
                if actor == BUYER {
                    self.settle();
                }
                "received"
            }
            E::Transferred
                if open
                    && !offered
                    && match of {
                        TransferOf::Both => holds_and_owns,
                        TransferOf::Possession => is_holder,
                        TransferOf::Ownership => actor == self.owner,
                    } =>
            {
                self.pending = Some(of);
                self.status
            }
            E::Accepted if open && offered && actor == BUYER => {
                self.settle();
                self.status
            }
            E::Rejected if open && offered && actor == BUYER => {
                self.pending = None;
                self.status
            }
            E::Withdrawn if open && offered && actor == HOLDER => {
                self.pending = None;
                self.status
            }
            E::Processed if at_rest && !offered && holds_and_owns => "processed",
            E::Exported if at_rest && !offered && holds_and_owns => "exported",
            E::Sold if at_rest && !offered && holds_and_owns => "sold",
            E::Lost if open && (is_holder || (actor == CARRIER && on_the_way)) => {
                self.pending = None;
                "lost"
            }
            E::Destroyed if open && (is_holder || (actor == CARRIER && on_the_way)) => {
                self.pending = None;
                "destroyed"
            }
            E::SealReplaced if open && is_holder => {
                self.seal_void = false;
                self.status
            }
            E::SealVoided if open && (is_holder || actor == INSPECTOR) => {
                self.seal_void = true;
                self.status
            }
            E::Found if self.status == "lost" && (is_holder || actor == INSPECTOR) => "stored",
            E::Inspected if actor == INSPECTOR => self.status,
            E::Detained if actor == INSPECTOR => {
                self.held = true;
                self.status
            }
            E::Seized if open && actor == INSPECTOR => {
                (self.holder, self.pending) = (CUSTODIAN, None);
                "stored"
            }
            E::Confiscated if open && actor == INSPECTOR => {
                (self.owner, self.pending) = (CUSTODIAN, None);
                self.status
            }
            E::Released if actor == INSPECTOR && self.held => {
                self.held = false;
                self.status
            }
            _ => return false,
        };
        self.status = next;
        true
    }
}

fn steps() -> impl Strategy<Value = Vec<(LogEventType, u128, TransferOf)>> {
    use LogEventType as E;
    // Events that close or block a log are generated rarely: otherwise most sequences would end too early to
    // test partial transfers.
    let going_on = vec![
        E::Stored,
        E::Loaded,
        E::Loaded,
        E::Unloaded,
        E::Departed,
        E::Arrived,
        E::Received,
        E::Transferred,
        E::Transferred,
        E::Accepted,
        E::Accepted,
        E::Rejected,
        E::Withdrawn,
        E::Found,
        E::Inspected,
        E::Detained,
        E::Released,
        E::SealReplaced,
    ];
    let ending = vec![
        E::Processed,
        E::Exported,
        E::Sold,
        E::Lost,
        E::Destroyed,
        E::SealVoided,
        E::Seized,
        E::Confiscated,
        E::Corrected,
    ];
    let events = prop_oneof![12 => prop::sample::select(going_on), 1 => prop::sample::select(ending)];
    let actors =
        prop::sample::select(vec![HOLDER, HOLDER, HOLDER, BUYER, BUYER, CARRIER, INSPECTOR, CUSTODIAN]);
    let of = prop::sample::select(TransferOf::ALL.to_vec());
    prop::collection::vec((events, actors, of), 1..100)
}

proptest! {
    #[test]
    fn random_lives_agree_with_the_model(steps in steps()) {
        let mut chain = vec![harvested()];
        let mut state = LogState::first(&chain[0]).unwrap();
        let mut model = Model { status: "at_felling", holder: HOLDER, owner: HOLDER, pending: None, seal_void: false, held: false, loaded_from: "" };
        for (event_type, actor, of) in steps {
            // The model has one buyer, which does not transfer the log on; nor does the custodian.
            if event_type == LogEventType::Transferred && [BUYER, CUSTODIAN].contains(&actor) {
                continue;
            }
            // Whether the caller may offer a transfer also depends on `of`, which `check` does not look at.
            let may_give = event_type != LogEventType::Transferred || gives(of, &state, roles(actor));
            let allowed = may_give && check(event_type, &state, roles(actor), now()).is_ok();
            let expected = model.step(event_type, actor, of);
            prop_assert_eq!(allowed, expected, "{} by {} in {:?}", event_type, actor, state);
            if allowed {
                let seq = u32::try_from(chain.len()).unwrap() + 1;
                let event = offered(next(seq, actor, event_type), of);
                state.apply(&event).unwrap();
                chain.push(event);
            }
            prop_assert_eq!(state.status.as_str(), model.status);
            prop_assert_eq!(state.holder, org(model.holder));
            prop_assert_eq!(state.owner, org(model.owner));
            prop_assert_eq!(state.pending.map(|pending| pending.of), model.pending);
            prop_assert_eq!(state.seal_void, model.seal_void);
            prop_assert_eq!(state.hold.is_some(), model.held);
        }
        prop_assert_eq!(replay(&chain).unwrap(), state);
    }

    #[test]
    fn reversing_the_last_event_gives_the_state_before_it(steps in steps()) {
        let mut chain = vec![harvested()];
        let mut before = vec![replay(&chain).unwrap()];
        for (event_type, actor, of) in steps {
            let state = replay(&chain).unwrap();
            if check(event_type, &state, roles(actor), now()).is_ok() {
                let event = offered(next(u32::try_from(chain.len()).unwrap() + 1, actor, event_type), of);
                chain.push(event);
                before.push(state);
            }
        }
        if let Some(seq) = last_reversible(&chain) {
            let mut correction = event(u32::try_from(chain.len()).unwrap() + 1, HOLDER, LogEventType::Corrected);
            correction.business.reverse = true;
            correction.business.corrects = Some(Corrects { seq, hash: Hash::ZERO });
            chain.push(correction);
            let after = replay(&chain).unwrap();
            let earlier = &before[seq as usize - 1];
            prop_assert_eq!((after.status, after.holder, after.owner, after.pending, after.carrier),
                            (earlier.status, earlier.holder, earlier.owner, earlier.pending, earlier.carrier));
            prop_assert_eq!(&after.hold, &replay(&chain[..chain.len() - 1]).unwrap().hold, "a hold is never reversed");
            prop_assert_ne!(last_reversible(&chain), Some(seq), "an event is reversed only once");
        } else if chain.iter().any(|event| event.business.annul) {
            prop_assert_eq!(replay(&chain).unwrap().status, Status::Annulled, "nothing brings it back");
        }
    }
}

#[test]
fn a_reversal_that_came_out_of_order_reverses_nothing() {
    let mut late = event(3, HOLDER, LogEventType::Corrected);
    late.business.reverse = true;
    late.business.out_of_order = true;
    late.business.corrects = Some(Corrects { seq: 2, hash: Hash::ZERO });
    let chain = [harvested(), next(2, HOLDER, LogEventType::Stored), late];
    assert_eq!(replay(&chain).unwrap().status, Status::Stored);
    assert_eq!(last_reversible(&chain), Some(2), "the event can still be reversed");
}

#[test]
fn the_state_at_a_time_takes_in_what_came_late() {
    let occurring = |mut event: Content, minute: u32, late: bool| {
        let moment = Moment::parse(&format!("2026-10-05T11:{minute:02}:00+05:00")).unwrap();
        event.business.occurred = LocalTime::of(moment);
        event.business.out_of_order = late;
        event
    };
    let at = |minute: u32| Moment::parse(&format!("2026-10-05T11:{minute:02}:00+05:00")).unwrap().instant();
    // The carrier's tablet sent its `departed` last.
    let chain = [
        occurring(harvested(), 10, false),
        occurring(next(2, HOLDER, LogEventType::Loaded), 20, false),
        occurring(next(3, HOLDER, LogEventType::Stored), 50, false),
        occurring(next(4, CARRIER, LogEventType::Departed), 30, true),
    ];
    let status = |minute| state_at(&chain, at(minute)).unwrap().status;
    assert_eq!(
        [5, 15, 25, 35, 55].map(status),
        [Status::AtFelling, Status::AtFelling, Status::Loaded, Status::InTransit, Status::Stored]
    );
    assert_eq!(replay(&chain).unwrap().status, Status::Stored);
}

#[test]
fn the_table_has_no_way_out_of_a_closed_status_but_found() {
    for rule in TABLE {
        if let From::These(these) = rule.from {
            let closed: Vec<_> = these.iter().filter(|status| !status.is_open()).collect();
            assert!(closed.is_empty() || rule.event == LogEventType::Found, "{}", rule.event);
        }
    }
}
