//! Issues a felling ticket.

use super::ban::felling_bans;
use super::content::{Issued, TicketPublic, check_names, lines_digest, plot_digest, texts};
use super::cut::{self, TicketVolumes};
use super::harvest::NO_COMMERCIAL_WOOD;
use super::site::Site;
use super::vocabulary::FellingKind;
use crate::base::error::{Error, FieldError, Location, Result};
use crate::base::geo::Plot;
use crate::base::ids::{LineId, OrganizationId, TicketId};
use crate::base::input::RequestErrors;
use crate::base::region::Region;
use crate::base::units::{Area, LocalDate, Text, Volume};
use crate::evidence::chain::Tx;
use crate::evidence::chain::{LockedHead, SubjectKind, append};
use crate::timber::event::actor::Actor;
use crate::timber::event::parts::TicketName;
use crate::timber::event::types::TicketEventType;
use crate::timber::finding::rules;
use crate::timber::finding::write::{Finding, NewFinding, store};
use crate::timber::parameter::Parameters;
use crate::timber::party::bin::Bin;
use crate::timber::party::organization::by_bin_kept;
use crate::timber::party::role::OrganizationKind;
use crate::timber::wood::species::{Species, Wood};
use chrono::NaiveDate;
use uuid::Uuid;

/// A ticket to issue. The code that builds it has checked that its fields are consistent.
#[derive(Clone, Debug)]
pub struct NewTicket {
    /// Its id.
    pub id: TicketId,
    /// Series.
    pub series: Text<20>,
    /// Number.
    pub number: Text<40>,
    /// Day of issue.
    pub issued_on: LocalDate,
    /// BIN of the organisation that may fell under it.
    pub holder_bin: Bin,
    /// Kind of felling.
    pub felling_kind: FellingKind,
    /// Forest category.
    pub forest_category: Text<60>,
    /// Forest type.
    pub forest_type: Text<60>,
    /// Region.
    pub region: Region,
    /// District.
    pub district: Option<Text<60>>,
    /// Forestry.
    pub forestry: Text<100>,
    /// Compartment.
    pub compartment: Text<40>,
    /// Sub-compartment.
    pub subcompartment: Option<Text<40>>,
    /// Cutting area.
    pub cutting_area: Option<Text<40>>,
    /// Area in hectares.
    pub area_ha: Option<Area>,
    /// Contour.
    pub plot: Option<Plot>,
    /// First day (in Kazakhstan) of felling.
    pub felling_from: LocalDate,
    /// Last day (in Kazakhstan) of felling.
    pub felling_until: LocalDate,
    /// Last day (in Kazakhstan) of removal.
    pub removal_until: Option<LocalDate>,
    /// The lines: at least one, and each pair of species and wood at most once.
    pub lines: Vec<NewLine>,
}

/// A line of a ticket to issue.
#[derive(Clone, Copy, Debug)]
pub struct NewLine {
    /// Its id.
    pub id: LineId,
    /// Species.
    pub species: Species,
    /// Kind of wood.
    pub wood: Wood,
    /// Permitted volume.
    pub volume: Volume,
}

/// Those members of a request to issue a ticket that [`check`] needs, as far as they could be read.
pub struct TicketClaims<'r> {
    /// BIN of the holder.
    pub holder_bin: Option<&'r Bin>,
    /// Series.
    pub series: Option<&'r str>,
    /// Number.
    pub number: Option<&'r str>,
    /// Forestry.
    pub forestry: Option<&'r str>,
    /// Region.
    pub region: Option<Region>,
    /// First and last day of felling, if the first is not after the last.
    pub term: Option<(LocalDate, LocalDate)>,
    /// Species and permitted volume of each line; `None` if one of them could not be read.
    pub lines: Option<Vec<(Species, Volume)>>,
    /// Kind of wood of each line, as far as it could be read.
    pub woods: Vec<Option<Wood>>,
}

/// What the checks of a ticket have decided.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// The holder, if it is known and may hold tickets.
    pub holder: Option<OrganizationId>,
    /// The findings.
    pub found: Vec<rules::Draft>,
}

/// Checks a ticket that `issuer` is to issue, and locks the issuer's allowable cuts. Adds to `errors`:
/// - `unknown-organization` or `not-a-harvester` at `/holder_bin`;
/// - `firewood-only` at the wood of a line, if the holder is an individual;
/// - `too-long-together` if the forestry and the ticket's series and number are too long;
/// - the conflicts `banned`, `no-cut-for-forestry` and `allowable-cut-exceeded`;
/// - the conflict `ticket-number-taken`, but only if there are other errors. Without other errors, the
///   insertion of the ticket detects this conflict.
///
/// # Errors
/// From the database.
pub async fn check(
    tx: &mut Tx<'_>,
    issuer: OrganizationId,
    claims: &TicketClaims<'_>,
    parameters: &Parameters,
    today: NaiveDate,
    errors: &mut RequestErrors,
) -> Result<Checked> {
    let holder = match claims.holder_bin {
        Some(bin) => holder(tx, *bin, &claims.woods, errors).await?,
        None => None,
    };
    let mut checked = Checked { holder, found: Vec::new() };
    let term = claims.term;
    checked.found.extend(term.and_then(|(from, until)| {
        rules::ticket::ticket_after_felling(from.day(), until.day(), today, parameters)
    }));
    check_bans(tx, issuer, claims, errors).await?;
    if let (Some(forestry), Some((from, until)), Some(lines)) = (claims.forestry, claims.term, &claims.lines)
    {
        let ticket = TicketVolumes { issuer, ticket: None, forestry, lines };
        let judged = cut::judge(tx, &ticket, cut::years(from, until)).await?;
        for against in judged.against {
            errors.conflict.push(FieldError::new(pointer("/lines"), against.code(), against.sentence()));
        }
        let volume = Volume::checked_sum(lines.iter().map(|(_, volume)| *volume));
        let uncut = rules::ticket::Uncut { volume, own: holder == Some(issuer), today };
        checked.found.extend(rules::ticket::no_allowable_cut(&judged.without, &uncut, parameters));
    }
    let Some((series, number)) = claims.series.zip(claims.number) else { return Ok(checked) };
    if let Some(forestry) = claims.forestry {
        let name = TicketName { number: number.into(), series: series.into() };
        if let Err(error) = check_names(forestry, &name) {
            errors.add(error)?;
        }
    }
    if !errors.is_empty() {
        let taken = sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT FROM felling_ticket WHERE issuer_id = $1 AND series = $2 AND number = $3) AS "taken!""#,
            issuer.0,
            series,
            number
        )
        .fetch_one(&mut **tx)
        .await?;
        if taken {
            errors.conflict.push(number_taken());
        }
    }
    Ok(checked)
}

/// Adds the conflict `banned` for each felling ban with which the term shares a day: at the first line of its species,
/// or for a ban on all species at `/felling_from`.
async fn check_bans(
    tx: &mut Tx<'_>,
    issuer: OrganizationId,
    claims: &TicketClaims<'_>,
    errors: &mut RequestErrors,
) -> Result<()> {
    let (Some(region), Some(term)) = (claims.region, claims.term) else { return Ok(()) };
    for ban in felling_bans(tx, region, issuer, term).await? {
        let line = |only| claims.lines.iter().flatten().position(|(species, _)| *species == only);
        let at = match ban.species {
            None => "/felling_from".to_owned(),
            Some(only) => match line(only) {
                None => continue,
                Some(index) => format!("/lines/{index}/species"),
            },
        };
        errors.conflict.push(FieldError::new(pointer(&at), "banned", ban.sentence()));
    }
    Ok(())
}

/// Issues a ticket in the name of the organisation of `act`. `errors` are errors that the caller has found
/// already; they are reported together with those found here.
///
/// # Errors
/// [`Error::Invalid`] with `errors`, those that [`check`] finds, and `too-long-together`; [`Error::Conflict`]
/// with `ticket-number-taken` at `/number`, and the conflicts of [`check`].
pub async fn issue(
    tx: &mut Tx<'_>,
    act: &Actor,
    new: &NewTicket,
    errors: &[FieldError],
    parameters: &Parameters,
) -> Result<Vec<Finding>> {
    let mut found = RequestErrors::default();
    for error in errors {
        found.invalid.push(error.clone());
    }
    let mut errors = found;
    let claims = TicketClaims {
        holder_bin: Some(&new.holder_bin),
        series: Some(new.series.as_str()),
        number: Some(new.number.as_str()),
        forestry: Some(new.forestry.as_str()),
        region: Some(new.region),
        term: Some((new.felling_from, new.felling_until)),
        lines: Some(new.lines.iter().map(|line| (line.species, line.volume)).collect()),
        woods: new.lines.iter().map(|line| Some(line.wood)).collect(),
    };
    let Checked { holder, mut found } =
        check(tx, act.organization, &claims, parameters, act.on(), &mut errors).await?;
    let Some(holder) = holder.filter(|_| errors.is_empty()) else { return Err(errors.into_error()) };
    if let Some(plot) = &new.plot {
        let term = (new.felling_from, new.felling_until);
        let site = Site { ticket: None, term, area_ha: new.area_ha, plot };
        found.extend(site.found(tx, parameters, act.on()).await?);
    }
    let name = TicketName { number: new.number.as_str().into(), series: new.series.as_str().into() };
    let public = TicketPublic {
        v: 1,
        subject: SubjectKind::FellingTicket.name(),
        event_type: TicketEventType::Issued,
        on: act.on(),
        region: new.region,
        forestry: new.forestry.as_str(),
        ticket: &name,
    };
    let business = Issued {
        v: 1,
        act,
        ticket_id: new.id,
        holder,
        issued_on: new.issued_on,
        felling_kind: new.felling_kind.as_str(),
        forest_category: new.forest_category.as_str(),
        forest_type: new.forest_type.as_str(),
        district: new.district.as_ref().map(Text::as_str),
        compartment: new.compartment.as_str(),
        subcompartment: new.subcompartment.as_ref().map(Text::as_str),
        cutting_area: new.cutting_area.as_ref().map(Text::as_str),
        area_ha: new.area_ha,
        plot_digest: new.plot.as_ref().map(plot_digest),
        felling_from: new.felling_from,
        felling_until: new.felling_until,
        removal_until: new.removal_until,
        lines_digest: lines_digest(
            new.lines.iter().map(|line| (line.id, line.species, line.wood, line.volume)),
        ),
    };
    let request_texts = [
        (pointer("/forest_category"), Some(&new.forest_category)),
        (pointer("/forest_type"), Some(&new.forest_type)),
        (pointer("/origin/district"), new.district.as_ref()),
    ];
    let origin_texts = [
        (pointer("/origin/compartment"), Some(&new.compartment)),
        (pointer("/origin/subcompartment"), new.subcompartment.as_ref()),
        (pointer("/origin/cutting_area"), new.cutting_area.as_ref()),
    ];
    let request_texts = request_texts.into_iter().filter_map(|(at, text)| Some((at, text?.as_str())));
    let origin_texts = origin_texts.into_iter().filter_map(|(at, text)| Some((at, text?.as_str())));
    let (public, business) =
        texts(&public, &business, &request_texts.chain(origin_texts).collect::<Vec<_>>())?;
    let head = LockedHead::fresh(SubjectKind::FellingTicket, new.id.0);
    let draft = act.draft(head, TicketEventType::Issued, public, business, Some(new.region));
    let bounds = new.plot.as_ref().and_then(Plot::bounds);
    for head in append(tx, act.at(), vec![draft]).await? {
        sqlx::query!(
            "INSERT INTO felling_ticket (id, salt, head_seq, head_hash, head_received_at, issuer_id, holder_id, series,
                 number, issued_on, felling_kind, forest_category, forest_type, region, district, forestry, compartment,
                 subcompartment, cutting_area, area_ha, plot, felling_from, felling_until, removal_until,
                 plot_west, plot_south, plot_east, plot_north)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22,
                 $23, $24, $25, $26, $27, $28)",
            head.id,
            head.salt.0.as_slice(),
            head.seq_i32(),
            head.hash.0.as_slice(),
            head.received_at,
            act.organization.0,
            holder.0,
            new.series.as_str(),
            new.number.as_str(),
            new.issued_on.day(),
            new.felling_kind.as_str(),
            new.forest_category.as_str(),
            new.forest_type.as_str(),
            new.region.as_str(),
            new.district.as_ref().map(Text::as_str),
            new.forestry.as_str(),
            new.compartment.as_str(),
            new.subcompartment.as_ref().map(Text::as_str),
            new.cutting_area.as_ref().map(Text::as_str),
            new.area_ha.map(Area::decimal),
            new.plot.as_ref().map(Plot::as_str),
            new.felling_from.day(),
            new.felling_until.day(),
            new.removal_until.map(LocalDate::day),
            bounds.map(|[west, ..]| west),
            bounds.map(|[_, south, ..]| south),
            bounds.map(|[_, _, east, _]| east),
            bounds.map(|[.., north]| north)
        )
        .execute(&mut **tx)
        .await
        .map_err(number_conflict)?;
    }
    insert_lines(tx, new).await?;
    store_about(tx, act, new.id, found).await
}

/// Stores findings about a ticket, which are about the organisation that recorded it.
///
/// # Errors
/// From the database.
pub(super) async fn store_about(
    tx: &mut Tx<'_>,
    act: &Actor,
    ticket: TicketId,
    found: Vec<rules::Draft>,
) -> Result<Vec<Finding>> {
    let about = |draft| NewFinding { draft, log: None, ticket: Some(ticket), party: None };
    store(tx, act.organization, found.into_iter().map(about).collect(), act.at()).await
}

fn pointer(at: &str) -> Location {
    Location::Pointer(at.to_owned())
}

async fn insert_lines(tx: &mut Tx<'_>, new: &NewTicket) -> Result<()> {
    let ids: Vec<Uuid> = new.lines.iter().map(|line| line.id.0).collect();
    let positions: Vec<i16> = (0_i16..).take(new.lines.len()).collect();
    let species: Vec<&str> = new.lines.iter().map(|line| line.species.as_str()).collect();
    let wood: Vec<&str> = new.lines.iter().map(|line| line.wood.as_str()).collect();
    let permitted: Vec<_> = new.lines.iter().map(|line| line.volume.decimal()).collect();
    sqlx::query!(
        "INSERT INTO ticket_line (id, ticket_id, position, species, wood, permitted_m3)
         SELECT id, $2, position, species, wood, permitted
         FROM UNNEST($1::uuid[], $3::smallint[], $4::text[], $5::text[], $6::numeric[])
              AS line (id, position, species, wood, permitted)",
        &ids,
        new.id.0,
        &positions,
        &species as &[&str],
        &wood as &[&str],
        &permitted
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn holder(
    tx: &mut Tx<'_>,
    bin: Bin,
    woods: &[Option<Wood>],
    errors: &mut RequestErrors,
) -> Result<Option<OrganizationId>> {
    let at = || pointer("/holder_bin");
    let Some(named) = by_bin_kept(tx, bin).await? else {
        let detail = "No organisation with this BIN is registered; only the operator can register it.";
        errors.invalid.push(FieldError::new(at(), "unknown-organization", detail));
        return Ok(None);
    };
    let may_hold = named.roles.iter().any(|role| role.holds_timber());
    if !may_hold && named.kind != OrganizationKind::Individual {
        let detail = "Only an enterprise, a forest owner or an individual may hold a ticket; this organisation is none.";
        errors.invalid.push(FieldError::new(at(), "not-a-harvester", detail));
    }
    if named.kind == OrganizationKind::Individual {
        let commercial = |(_, wood): &(usize, &Option<Wood>)| **wood == Some(Wood::Commercial);
        for (index, _) in woods.iter().enumerate().filter(commercial) {
            let at = pointer(&format!("/lines/{index}/wood"));
            errors.invalid.push(FieldError::new(at, "firewood-only", NO_COMMERCIAL_WOOD));
        }
    }
    Ok(named.unless_suspended(at(), errors))
}

fn number_conflict(error: sqlx::Error) -> Error {
    let constraint = error.as_database_error().and_then(|error| error.constraint());
    if constraint == Some("felling_ticket_number_key") {
        return Error::Conflict(vec![number_taken()]);
    }
    error.into()
}

fn number_taken() -> FieldError {
    let detail = "You have already issued a ticket with this series and number.";
    FieldError::new(pointer("/number"), "ticket-number-taken", detail)
}
